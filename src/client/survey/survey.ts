import type { ListFilter, ListQuestion } from '../../mesh/peers/list-backups.js';
import { Failure } from '../../mesh/terms/failure.js';
import { askOwnNode } from '../session/ask-own-node.js';
import { patienceOf } from '../session/ask-peers.js';
import type { Context } from '../session/context.js';
import { type AskOptions, askHolder } from './ask-holder.js';
import { type Circumstances, chainFindings } from './chain-findings.js';
import { EntryFindings } from './entry-findings.js';
import { examiner, type ReceiptCheck } from './examine.js';
import type { Answer, Copy, Examined, Finding, FoundBackup, Owed, Survey } from './found.js';
import { ManifestGathering, type Told } from './gather-manifests.js';
import type { Holder } from './holders.js';
import type { Mesh } from './mesh.js';

/** `FR3 did not answer: connect ECONNREFUSED 10.8.0.3:7443` */
export function silence({ holder, failure }: Extract<Answer, { readonly failure: Failure }>): string {
  return `${holder.name} did not answer: ${failure.message.replace(`${holder.described}: `, '')}`;
}

/** Everyone who was asked, for programs; who did not answer with the reason. */
export function peersDocument(answers: readonly Answer[]): object[] {
  return answers.map((answer) => ({
    name: answer.holder.name,
    address: answer.holder.place,
    ok: 'held' in answer,
    error: 'failure' in answer ? answer.failure.message : null,
  }));
}

/**
 * Asks everyone at once, verifies and merges.
 * @param receipts whether they are asked for, and their signatures proven: each takes as long as that of a manifest
 * @throws Failure `interrupted`
 */
export async function survey(
  context: Context,
  mesh: Mesh,
  filter: ListFilter,
  receipts: ReceiptCheck = 'read',
): Promise<Survey> {
  const { clock, signal, flags } = context;
  const deadline = patienceOf(flags);
  // A peer refuses to be asked for an owner by name whose backups we may not read; what it shows is filtered here.
  const question = { ...filter, owner: '', brief: receipts === 'brief' };
  const options = { clock, deadline, examiner: examiner(mesh.owners, receipts), signal };
  const answers = await askAll(mesh.holders, question, options);
  const now = clock.now();
  const found = weigh(answers, filter, { now, owed: new Map() });
  if (!found.findings.some(({ kind }) => kind === 'behind' || kind === 'gap')) return found;
  return weigh(answers, filter, { now, owed: await owedBy(context, mesh.owner) });
}

/** Nothing where no node of this server answers, and nothing that a peer had and lost: that is no backup on its way. */
async function owedBy(context: Context, server: string): Promise<Owed> {
  const config = await context.loadConfig().catch(() => null);
  if (config?.server.name !== server) return new Map();
  const node = await askOwnNode(context, config, (own, signal) => own.getStatus(signal));
  if ('failure' in node) return new Map();
  const audits = node.lastRun?.audit?.peers ?? [];
  return new Map(
    node.peers.map(({ name, owed, problem }) => {
      const lost = audits.find(({ peer }) => peer === name)?.lost ?? [];
      return [name, { backups: new Set(owed.filter((backup) => !lost.includes(backup))), problem }];
    }),
  );
}

/** Tells a person what was found: what is only owed does not have to be looked at. */
export function tellFindings({ screen }: Pick<Context, 'screen'>, findings: readonly Finding[]): void {
  for (const { kind, message } of findings) screen[kind === 'owed' ? 'note' : 'warn'](message);
}

/**
 * The failure to end with when not one holder answered; null when at least one did.
 * @param otherwise what helps beside waiting
 */
export function nobodyAnswered({ answers }: Survey, otherwise = ''): Failure | null {
  const silent = answers.flatMap((answer) => ('failure' in answer ? [answer] : []));
  if (silent.length < answers.length) return null;
  // The own node may be stopped for good reasons; why the peers are silent says more.
  const peers = silent.filter(({ holder }) => holder.place !== 'local');
  const telling = (peers.length > 0 ? peers : silent).map(({ failure }) => failure);
  // The right server may be back where another one answers; whoever asks now has to know first.
  const isRefusal = telling.every(({ kind, retryable }) => kind === 'untrusted' || !retryable);
  const [first] = telling;
  const reasons = silent.map(({ failure }) => `\n  ${failure.message}`).join('');
  return new Failure(isRefusal && first !== undefined ? first.kind : 'unreachable', `nobody answered:${reasons}`, {
    hint: first?.hint ?? `Is the VPN up? Try again when a peer can be reached.${otherwise}`,
  });
}

/** What of the findings concerns the backups of one server: also what is about nobody's, since it may be about these. */
export function findingsAbout({ findings }: Survey, server: string): readonly Finding[] {
  return findings.filter(({ owner }) => owner === null || owner === server);
}

/**
 * Asks all holders at once, and examines each page of an answer when it comes. One holder that is slow, dead or odd costs
 * its own answer only. For manifests that answers only name, holders are asked again.
 * @throws Failure `interrupted`
 */
export async function askAll(
  holders: readonly Holder[],
  question: ListQuestion,
  options: AskOptions,
): Promise<readonly Answer[]> {
  const { examiner, signal } = options;
  const manifests = new ManifestGathering(options);
  const answers = await Promise.all(
    holders.map(async (holder) => {
      const told: Told = { holder, held: [], open: [] };
      const failure = await askHolder(holder, [question], options, ({ backups, brief, minimumDays }) => {
        for (const backup of backups) told.held.push(examiner.whole(backup, holder));
        for (const entry of brief) told.open.push(entry);
        told.minimumDays = minimumDays;
      });
      if (failure !== null) return { holder, failure };
      await manifests.add(told);
      return told;
    }),
  );
  await manifests.finish();
  if (signal?.aborted) throw new Failure('interrupted', 'interrupted');
  return answers.map((answer) => ('failure' in answer ? answer : manifests.answerOf(answer)));
}

/** Merges what the holders answered, and compares the answers. Entries that were not asked for are left out. */
export function weigh(answers: readonly Answer[], filter: ListFilter, circumstances: Circumstances): Survey {
  const found = new Map<Examined, FoundBackup & { readonly copies: Copy[] }>();
  const entries = new EntryFindings();
  for (const answer of answers) {
    if ('failure' in answer) continue;
    const { holder } = answer;
    for (const shown of answer.held) {
      if (typeof shown === 'string') {
        entries.addUnreadable(holder, shown);
        continue;
      }
      const { backup, copy } = shown;
      if (!matches(backup, filter)) continue;
      const known = found.get(backup) ?? { ...backup, copies: [] };
      found.set(backup, known);
      if (known.copies.at(-1)?.holder === holder) continue;
      known.copies.push(copy);
      entries.add(copy, backup);
    }
  }
  const backups = [...found.values()].sort(newestFirst);
  return { answers, backups, findings: [...entries.findings(), ...chainFindings(answers, backups, circumstances)] };
}

function matches({ facts }: Examined, filter: ListFilter): boolean {
  return (filter.owner === '' || facts.owner === filter.owner) && (filter.set === '' || facts.set === filter.set);
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
