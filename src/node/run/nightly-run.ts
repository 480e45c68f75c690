import {
  type Audit,
  type DeliveryProgress,
  Outcome,
  type PeerAudit,
  type PeerReport,
  type Problem,
  type RunEvent,
  type RunReport,
  type SetReport,
} from '../../mesh/generated/anemone/node/v1/node.js';
import { Failure } from '../../mesh/terms/failure.js';
import type { Auditing } from '../audit/auditing.js';
import type { Outbox } from '../outbox/outbox.js';
import type { RunSignals } from '../outbox/run-signals.js';
import type { History } from '../report/history.js';
import { problemOf } from '../report/problem.js';
import { outcomeOf, summaryOf } from '../report/summary.js';
import { keepSet, type NightSet, type SetParts } from './keep-set.js';
import { type Progress, thinned } from './progress.js';

export interface NightRequest {
  readonly trigger: 'schedule' | 'catch-up' | 'request';
  readonly sets: readonly NightSet[];
  /** Make backups even where nothing changed. */
  readonly force: boolean;
}

/** Everything that a night does to the world. */
export interface NightParts extends SetParts {
  readonly outbox: Pick<Outbox, 'deliverNow' | 'peersWithout'>;
  readonly auditing: Pick<Auditing, 'proofs' | 'scrub'>;
  /** First of all: what peers have lost, which is owed to them again, and that they hold what this server does not know of. */
  askPeers(signal: AbortSignal): Promise<{ readonly lost: PeerAudit[]; readonly problems: readonly Problem[] }>;
  /** Rotation and retention; the file names that were removed, and what could not be. */
  sweep(): Promise<{ readonly removed: readonly string[]; readonly failures: readonly Failure[] }>;
  readonly history: Pick<History, 'append'>;
}

/** What a night hears while it lasts, and what it tells of itself. */
export interface NightSignals extends RunSignals {
  /**
   * Aborts when somebody asks for a run: proofs are left to later ones. A night that is due does not abort it: a peer that takes
   * days for its delivery would keep all others from being asked for proofs.
   */
  readonly waitedFor: AbortSignal;
  /** Called when nothing is saved by it any more: what is left may end early. */
  setsRead(): void;
}

/** Does a part of a night; what it throws becomes a problem of the report, and the night goes on. */
type Attempt = <T, O>(what: string, work: () => Promise<T>, otherwise: O) => Promise<T | O>;

/**
 * The story of one night. It resolves with its report once that is in the history; the report is also the last event. An
 * interrupted one has a report too: it says `interrupted` where something is missing, and leaves no draft.
 */
export async function night(
  request: NightRequest,
  parts: NightParts,
  signals: NightSignals,
  emit: (event: RunEvent) => void,
): Promise<RunReport> {
  const { stop } = signals;
  const startedAtMs = parts.clock.now();
  const problems: Problem[] = [];
  const progress = thinned(parts.clock, emit);
  const attempt: Attempt = (what, work, otherwise) =>
    work().catch((thrown: unknown) => {
      problems.push(problemOf(Failure.from(thrown, what)));
      return otherwise;
    });
  parts.log.info('run started', { trigger: request.trigger, sets: request.sets.map((set) => set.name).join(', ') });

  const unasked = { lost: [], problems: [] };
  const asking = attempt('the question to peers what they hold', () => parts.askPeers(stop), unasked);
  const sets = await keepSets(request, parts, asking, progress, stop);
  signals.setsRead();
  const asked = await asking;
  problems.push(...asked.problems);
  const tell = (value: DeliveryProgress): void => progress.emit({ event: { $case: 'delivery', value } });
  const deliver = () => parts.outbox.deliverNow(tell, signals).finally(progress.flush);
  const peers = await attempt('delivery', deliver, null);
  const before = asked.lost.map((each) => (tookSome(peers, each.peer) ? { ...each, problem: undefined } : each));
  const { audit, found } = await auditKept(request, before, parts, attempt, signals);
  problems.push(...found);
  const none = { removed: [], failures: [] };
  const { removed, failures } = stop.aborted ? none : await attempt('retention', () => parts.sweep(), none);
  problems.push(...failures.map(problemOf));

  if (peers?.length === 0) problems.push(noPeers);
  const { trigger } = request;
  const facts = { trigger, startedAtMs, sets, peers: peers ?? [], removed: [...removed], problems, audit };
  const report = { ...facts, finishedAtMs: parts.clock.now(), outcome: outcomeOf(facts) };
  const unsaved = await parts.history.append(report);
  return announce(unsaved === null ? report : withProblem(report, problemOf(unsaved)), parts, progress);
}

function withProblem(report: RunReport, problem: Problem): RunReport {
  const told = { ...report, problems: [...report.problems, problem] };
  return { ...told, outcome: outcomeOf(told) };
}

/**
 * A backup on the very machine that it is a backup of saves nobody: a run without peers is done in part at best. (The
 * predecessor found no peers by mistake, and told it as success.)
 */
const noPeers: Problem = {
  kind: 'config',
  message: 'no peer is configured and enabled, so the backup is on this server only',
  hint: 'Add a peer with `anemone-peer peer add`.',
};

/** How long after all sets of a night those are tried once more that failed by what may pass, in milliseconds. */
const secondTry = 2 * 60_000;

/** One set after the other, each with its own fate. An app that restarts at night does not cost its set the night. */
async function keepSets(
  { trigger, sets, force }: NightRequest,
  parts: NightParts,
  asking: Promise<unknown>,
  { emit, flush }: Progress,
  signal: AbortSignal,
): Promise<SetReport[]> {
  const reports = new Map<string, SetReport>();
  const attempt = async (set: NightSet): Promise<boolean> => {
    let bytes = 0;
    const tell = (backup: string): void => emit({ event: { $case: 'seal', value: { set: set.name, bytes, backup } } });
    const progress = (count: number): void => {
      bytes = count;
      tell('');
    };
    const { report, mayPass } = await keepSet({ set, force, signal, asking, progress }, parts);
    if (report.backup !== '' && report.outcome !== Outcome.OUTCOME_UNCHANGED) tell(report.backup);
    flush();
    if (report.problem !== undefined) {
      parts.log.error('set not saved', { set: set.name, kind: report.problem.kind, reason: report.problem.message });
    }
    reports.set(set.name, report);
    return mayPass;
  };
  const again: NightSet[] = [];
  for (const set of sets) if (await attempt(set)) again.push(set);
  if (trigger !== 'request' && again.length > 0) {
    await parts.clock.sleep(secondTry, signal).catch(() => {});
    if (!signal.aborted) for (const set of again) await attempt(set);
  }
  return [...reports.values()];
}

/** Whether a peer, which may have been away at the beginning of the run, has taken a backup since. */
function tookSome(peers: readonly PeerReport[] | null, name: string): boolean {
  return peers?.some(({ peer, delivered }) => peer === name && delivered.length > 0) ?? false;
}

/** Whether what was acknowledged is still kept: by the peers, and here. */
async function auditKept(
  { trigger }: NightRequest,
  lost: PeerAudit[],
  { auditing }: NightParts,
  attempt: Attempt,
  { stop, hurry, waitedFor }: NightSignals,
): Promise<{ audit: Audit | undefined; found: readonly Problem[] }> {
  if (stop.aborted) return { audit: undefined, found: [] };
  const stopping = AbortSignal.any([stop, waitedFor]);
  const unproven = { peers: lost, problems: [] };
  const proofs = await attempt('the proofs of peers', () => auditing.proofs(lost, stopping), unproven);
  const atNight = trigger !== 'request';
  const scrub = await attempt('the scrub', () => auditing.scrub(atNight, { stop, hurry }), null);
  return {
    audit: { peers: proofs.peers, scrub: scrub?.report },
    found: [...proofs.problems, ...(scrub?.problems ?? [])],
  };
}

function announce(report: RunReport, { log }: NightParts, { emit }: Progress): RunReport {
  const fields = { trigger: report.trigger, summary: summaryOf(report) };
  if (report.outcome === Outcome.OUTCOME_FAILED) log.error('run finished', fields);
  else if (report.outcome === Outcome.OUTCOME_PARTLY) log.warn('run finished', fields);
  else log.info('run finished', fields);
  emit({ event: { $case: 'report', value: report } });
  return report;
}
