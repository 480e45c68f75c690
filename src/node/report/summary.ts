import {
  Outcome,
  type PeerAudit,
  type PeerReport,
  type RunReport,
  type SetReport,
} from '../../mesh/generated/anemone/node/v1/node.js';
import { kitSet } from '../../mesh/terms/backup-name.js';

/** Peers that did the same are counted where they are more. */
const mostNamed = 3;

type Parts = Pick<RunReport, 'sets' | 'peers' | 'problems'>;

/**
 * The outcome of a run from its parts. `done` takes everything: each set saved whole, each peer served, no problem beside.
 * A run whose sets all failed has failed, whatever was delivered of older backups. One without a set
 * is a night of a server that only keeps the backups of others.
 */
export function outcomeOf({ sets, peers, problems }: Parts): Outcome {
  const outcomes = [...sets, ...peers].map((part) => part.outcome);
  // The kit travels with every run: that it was saved saves nobody's data.
  const own = sets.filter(({ set }) => set !== kitSet);
  if (own.length > 0 && own.every(({ outcome }) => outcome === Outcome.OUTCOME_FAILED)) return Outcome.OUTCOME_FAILED;
  if (problems.length > 0 || !outcomes.every(isWhole)) return Outcome.OUTCOME_PARTLY;
  return outcomes.every((outcome) => outcome === Outcome.OUTCOME_UNCHANGED)
    ? Outcome.OUTCOME_UNCHANGED
    : Outcome.OUTCOME_DONE;
}

/** One plain sentence about a run, for the log, where a long one is cut at its end: what a person has to know comes first. */
export function summaryOf(report: RunReport): string {
  const audits = report.audit?.peers ?? [];
  const excused = audits.flatMap(({ peer, problem }) => (problem === undefined ? [] : [peer]));
  const parts = [
    ...report.problems.map((problem) => problem.message),
    ...report.sets.map(setClause),
    ...clausesOf(report.peers.map((peer) => [peer.peer, deliveryTo(peer, excused)])),
    ...clausesOf(audits.flatMap((audit) => auditOf(audit).map((did) => [audit.peer, did]))),
    ...(report.audit?.scrub?.checked ? [`${counted(report.audit.scrub.checked, 'backup')} here read again`] : []),
  ];
  return `${opening(report.outcome, excused)}${parts.length === 0 ? '' : `: ${parts.join('; ')}`}.`;
}

function isWhole(outcome: Outcome): boolean {
  return outcome === Outcome.OUTCOME_DONE || outcome === Outcome.OUTCOME_UNCHANGED;
}

/** @param excused peers that gave an excuse in place of a proof */
function opening(outcome: Outcome, excused: readonly string[]): string {
  switch (outcome) {
    case Outcome.OUTCOME_DONE:
      return 'The backup is done';
    case Outcome.OUTCOME_UNCHANGED:
      return `Nothing changed, and ${excused.length === 0 ? '' : 'by their receipts '}every peer has the last backup`;
    case Outcome.OUTCOME_PARTLY:
      return 'The backup is done in part';
    default:
      return 'The backup failed';
  }
}

function setClause(set: SetReport): string {
  if (set.problem !== undefined) return `set ${set.set}: ${set.problem.message}`;
  if (set.outcome === Outcome.OUTCOME_UNCHANGED) return `set ${set.set} is unchanged`;
  const warnings = set.warnings.length + set.moreWarnings;
  const left = warnings === 0 ? '' : ` with ${counted(warnings, 'warning')}`;
  return `set ${set.set} is in ${set.backup}${left}`;
}

/** One clause for all peers that did the same. */
function clausesOf(deeds: readonly (readonly [peer: string, did: string])[]): string[] {
  const peers = new Map<string, string[]>();
  for (const [peer, did] of deeds) peers.set(did, [...(peers.get(did) ?? []), peer]);
  return [...peers].map(([did, who]) => `${who.length > mostNamed ? `${who.length} peers` : who.join(', ')} ${did}`);
}

function deliveryTo(peer: PeerReport, excused: readonly string[]): string {
  const owed = peer.owed === 0 ? '' : `, ${counted(peer.owed, 'backup')} still owed`;
  const problem = peer.problem === undefined ? '' : ` (${peer.problem.message})`;
  const got = peer.delivered.length === 0 ? 'took nothing' : `took ${counted(peer.delivered.length, 'backup')}`;
  const everything = `had everything${excused.includes(peer.peer) ? ' by its receipts' : ''}`;
  return `${peer.outcome === Outcome.OUTCOME_UNCHANGED ? everything : got}${owed}${problem}`;
}

/** What a peer lost is among the problems of the run, and so is that it refuses this server. */
function auditOf({ proven, gone, problem }: PeerAudit): string[] {
  const clauses: string[] = [];
  if (proven.length > 0) clauses.push(`proved ${counted(proven.length, 'backup')}`);
  if (gone.length > 0) clauses.push(`no longer kept ${counted(gone.length, 'older backup')}`);
  if (problem !== undefined) clauses.push(`did not prove everything: ${problem.message}`);
  return clauses;
}

function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}
