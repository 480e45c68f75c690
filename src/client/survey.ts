import { type HeldBackup, Manifest, type SignedManifest } from '../mesh/generated/anemone/backup/v1/backup.js';
import type { Identity } from '../mesh/identity/identity.js';
import { manifestDigest, verifyManifest } from '../mesh/manifest/manifest.js';
import { verifyReceipt } from '../mesh/manifest/receipt.js';
import type { ListFilter } from '../mesh/peers/list-backups.js';
import { type BackupName, parseBackupName } from '../mesh/terms/backup-name.js';
import { printable } from '../mesh/terms/clean-text.js';
import type { Clock } from '../mesh/terms/clock.js';
import { Failure } from '../mesh/terms/failure.js';
import { chainFindings } from './chain-findings.js';
import type { Answer, Copy, Finding, FoundBackup, Survey } from './found.js';
import type { Holder } from './holders.js';

/** `FR3 did not answer: connect ECONNREFUSED 10.8.0.3:7443` */
export function silence({ holder, failure }: Extract<Answer, { readonly failure: Failure }>): string {
  return `${holder.name} did not answer: ${failure.message.replace(`${holder.described}: `, '')}`;
}

export interface AskOptions {
  readonly clock: Clock;
  /** Milliseconds that each holder has for its whole answer. */
  readonly deadline: number;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Asks all holders at once. One that is slow, dead or odd costs its own answer only.
 * @throws Failure `interrupted`
 */
export async function askAll(
  holders: readonly Holder[],
  filter: ListFilter,
  options: AskOptions,
): Promise<readonly Answer[]> {
  const answers = await Promise.all(holders.map((holder) => ask(holder, filter, options)));
  if (options.signal?.aborted) throw new Failure('interrupted', 'interrupted');
  return answers;
}

async function ask(holder: Holder, filter: ListFilter, { clock, deadline, signal }: AskOptions): Promise<Answer> {
  const late = new AbortController();
  const cancel = clock.after(deadline, () => late.abort());
  try {
    const stop = signal === undefined ? late.signal : AbortSignal.any([signal, late.signal]);
    return { holder, held: await holder.list(filter, deadline, stop) };
  } catch (thrown) {
    const seconds = Math.round(deadline / 1000);
    const failure = late.signal.aborted
      ? new Failure('timeout', `${holder.described} did not finish its list within ${seconds} s`, { cause: thrown })
      : Failure.from(thrown, holder.described);
    return { holder, failure };
  } finally {
    cancel();
  }
}

/**
 * Verifies and merges what the holders answered. Entries that were not asked for are left out.
 * @param owners the identity of each owner that is known; the backups of others are shown as not verifiable
 */
export function weigh(answers: readonly Answer[], filter: ListFilter, owners: ReadonlyMap<string, Identity>): Survey {
  const found = new Map<string, FoundBackup & { readonly copies: Copy[] }>();
  const findings: Finding[] = [];
  for (const answer of answers) {
    if ('failure' in answer) continue;
    const { holder } = answer;
    for (const held of answer.held) {
      const backup = examine(held, owners);
      if (typeof backup === 'string') {
        findings.push({ peer: holder.name, kind: 'forged', message: `${holder.described} shows ${backup}` });
        continue;
      }
      if (!matches(backup, filter)) continue;
      const { standing } = backup;
      const key = `${backup.digest.toString('hex')} ${standing.kind === 'verified' ? '' : standing.reason}`;
      const known = found.get(key) ?? { ...backup, copies: [] };
      found.set(key, known);
      if (known.copies.some((copy) => copy.holder === holder)) continue;
      known.copies.push(copyOf(held, holder, backup));
      findings.push(...entryFindings(holder, known));
    }
  }
  const backups = [...found.values()].sort(newestFirst);
  return { answers, backups, findings: [...findings, ...chainFindings(answers, backups)] };
}

function matches({ facts }: FoundBackup, filter: ListFilter): boolean {
  return (filter.owner === '' || facts.owner === filter.owner) && (filter.set === '' || facts.set === filter.set);
}

/** A backup without its copies; or, in words that follow "shows", why nothing of it can even be displayed. */
function examine(held: HeldBackup, owners: ReadonlyMap<string, Identity>): FoundBackup | string {
  if (held.manifest === undefined) return 'an entry without a manifest';
  const read = readFacts(held.manifest);
  if (typeof read === 'string') return read;
  const backup = { ...read, digest: manifestDigest(held.manifest), copies: [] };
  const identity = owners.get(read.facts.owner);
  if (identity === undefined) {
    const reason = `the identity of ${read.facts.owner} is not known here`;
    return { ...backup, standing: { kind: 'unknown-owner', reason } };
  }
  try {
    return { ...backup, standing: { kind: 'verified', manifest: verifyManifest(held.manifest, identity) } };
  } catch (thrown) {
    return { ...backup, standing: { kind: 'forged', reason: reasonOf(thrown) } };
  }
}

function readFacts({ manifest }: SignedManifest): { readonly facts: Manifest; readonly name: BackupName } | string {
  try {
    const facts = Manifest.decode(manifest);
    const name = parseBackupName(facts.name);
    if (!isMoment(facts.createdAtMs)) return 'a manifest with a time that no calendar has';
    if (name.owner !== facts.owner || name.set !== facts.set) return 'a manifest whose name is of another backup';
    return { facts, name };
  } catch {
    return 'an entry that cannot be read';
  }
}

/** Whether a Date can say it, so that it can be shown. */
function isMoment(ms: number): boolean {
  return ms <= 8.64e15;
}

function copyOf({ receipt }: HeldBackup, holder: Holder, backup: FoundBackup): Copy {
  if (receipt === undefined) {
    const isOwner = holder.name === backup.facts.owner;
    return { holder, receivedAt: null, doubt: isOwner ? null : 'it shows no receipt' };
  }
  try {
    const { receivedAt } = verifyReceipt(receipt, holder.identity, backup.digest);
    if (!isMoment(receivedAt))
      return { holder, receivedAt: null, doubt: 'its receipt has a time that no calendar has' };
    return { holder, receivedAt, doubt: null };
  } catch (thrown) {
    return { holder, receivedAt: null, doubt: reasonOf(thrown) };
  }
}

/** What the newest copy of a backup says against its holder. */
function entryFindings(holder: Holder, { facts, standing, copies }: FoundBackup): Finding[] {
  const doubt = copies.at(-1)?.doubt ?? null;
  if (standing.kind === 'unknown-owner') return [];
  if (standing.kind === 'forged') {
    const message = `${holder.described} shows ${facts.name}, which is not to be believed: ${standing.reason}`;
    return [{ peer: holder.name, kind: 'forged', message }];
  }
  if (doubt === null) return [];
  const message = `${holder.described} does not prove that it holds ${facts.name}: ${doubt}`;
  return [{ peer: holder.name, kind: 'forged', message }];
}

function reasonOf(thrown: unknown): string {
  return printable(Failure.from(thrown).message, 300);
}

function newestFirst(a: FoundBackup, b: FoundBackup): number {
  return (
    b.name.time - a.name.time ||
    b.facts.sequence - a.facts.sequence ||
    Number(a.standing.kind !== 'verified') - Number(b.standing.kind !== 'verified') ||
    (a.facts.name < b.facts.name ? -1 : a.facts.name > b.facts.name ? 1 : 0) ||
    a.digest.compare(b.digest)
  );
}
