import type { ListFilter } from '../mesh/peers/list-backups.js';
import type { Clock } from '../mesh/terms/clock.js';
import { Failure } from '../mesh/terms/failure.js';
import { chainFindings } from './chain-findings.js';
import type { Examine } from './examine.js';
import type { Answer, Copy, Examined, Finding, FoundBackup, Shown, Survey } from './found.js';
import type { Holder } from './holders.js';

/** `FR3 did not answer: connect ECONNREFUSED 10.8.0.3:7443` */
export function silence({ holder, failure }: Extract<Answer, { readonly failure: Failure }>): string {
  return `${holder.name} did not answer: ${failure.message.replace(`${holder.described}: `, '')}`;
}

export interface AskOptions {
  readonly clock: Clock;
  /** Milliseconds that each holder has for its whole answer. */
  readonly deadline: number;
  readonly examine: Examine;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Asks all holders at once, and examines each page of an answer when it comes. One holder that is slow, dead or odd costs
 * its own answer only.
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

async function ask(
  holder: Holder,
  filter: ListFilter,
  { clock, deadline, examine, signal }: AskOptions,
): Promise<Answer> {
  const late = new AbortController();
  const cancel = clock.after(deadline, () => late.abort());
  try {
    const stop = signal === undefined ? late.signal : AbortSignal.any([signal, late.signal]);
    const held: (Shown | string)[] = [];
    for await (const page of holder.list(filter, deadline, stop)) {
      for (const entry of page) held.push(examine(entry, holder));
    }
    return { holder, held };
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

/** Merges what the holders answered, and compares the answers. Entries that were not asked for are left out. */
export function weigh(answers: readonly Answer[], filter: ListFilter): Survey {
  const found = new Map<Examined, FoundBackup & { readonly copies: Copy[] }>();
  const findings: Finding[] = [];
  for (const answer of answers) {
    if ('failure' in answer) continue;
    const { holder } = answer;
    for (const shown of answer.held) {
      if (typeof shown === 'string') {
        findings.push({ peer: holder.name, kind: 'forged', message: `${holder.described} shows ${shown}` });
        continue;
      }
      const { backup, copy } = shown;
      if (!matches(backup, filter)) continue;
      const known = found.get(backup) ?? { ...backup, copies: [] };
      found.set(backup, known);
      if (known.copies.at(-1)?.holder === holder) continue;
      known.copies.push(copy);
      const finding = entryFinding(copy, backup);
      if (finding !== null) findings.push(finding);
    }
  }
  const backups = [...found.values()].sort(newestFirst);
  return { answers, backups, findings: [...findings, ...chainFindings(answers, backups)] };
}

function matches({ facts }: Examined, filter: ListFilter): boolean {
  return (filter.owner === '' || facts.owner === filter.owner) && (filter.set === '' || facts.set === filter.set);
}

/** What a copy of a backup says against its holder. */
function entryFinding({ holder, doubt }: Copy, { facts, standing }: Examined): Finding | null {
  if (standing.kind === 'unknown-owner') return null;
  if (standing.kind === 'forged') {
    const message = `${holder.described} shows ${facts.name}, which is not to be believed: ${standing.reason}`;
    return { peer: holder.name, kind: 'forged', message };
  }
  if (doubt === null) return null;
  const message = `${holder.described} does not prove that it holds ${facts.name}: ${doubt}`;
  return { peer: holder.name, kind: 'forged', message };
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
