import {
  type Audit,
  Outcome,
  type PeerReport,
  type Problem,
  type RunReport,
  type SetReport,
} from '../../mesh/generated/anemone/node/v1/node.js';
import { formatByteSize } from '../../mesh/terms/byte-size.js';
import { printable } from '../../mesh/terms/clean-text.js';
import { fewNames } from '../../mesh/terms/few-names.js';
import type { Look } from './look.js';
import { formatDuration } from './moments.js';
import { type Cell, renderTable } from './table.js';

type OutcomeWord = 'done' | 'unchanged' | 'partly' | 'failed';

const words: Readonly<Partial<Record<Outcome, OutcomeWord>>> = {
  [Outcome.OUTCOME_DONE]: 'done',
  [Outcome.OUTCOME_UNCHANGED]: 'unchanged',
  [Outcome.OUTCOME_PARTLY]: 'partly',
};

/** The word for an outcome, in texts and in JSON. One that is not known here is none to rely on. */
export function outcomeWord(outcome: Outcome): OutcomeWord {
  return words[outcome] ?? 'failed';
}

/** A moment of the wire (milliseconds, 0 for none) in JSON: ISO 8601, or null. */
export function isoTime(ms: number): string | null {
  return ms === 0 ? null : new Date(ms).toISOString();
}

/** A run report as scripts read it. */
export function reportDocument(report: RunReport): Record<string, unknown> {
  return {
    outcome: outcomeWord(report.outcome),
    trigger: report.trigger,
    started_at: isoTime(report.startedAtMs),
    finished_at: isoTime(report.finishedAtMs),
    sets: report.sets.map(({ outcome, problem, moreWarnings, ...set }) => ({
      ...set,
      more_warnings: moreWarnings,
      outcome: outcomeWord(outcome),
      problem: problemDocument(problem),
    })),
    peers: report.peers.map(({ outcome, problem, ...peer }) => ({
      ...peer,
      outcome: outcomeWord(outcome),
      problem: problemDocument(problem),
    })),
    removed: report.removed,
    problems: report.problems.map(problemDocument),
    audit: report.audit === undefined ? null : auditDocument(report.audit),
  };
}

function auditDocument({ peers, scrub }: Audit): unknown {
  return {
    peers: peers.map(({ problem, ...peer }) => ({ ...peer, problem: problemDocument(problem) })),
    scrub:
      scrub === undefined
        ? null
        : {
            checked: scrub.checked,
            bytes: scrub.bytes,
            damaged: scrub.damaged,
            recovered: scrub.recovered,
            oldest_check_at: isoTime(scrub.oldestCheckMs),
          },
  };
}

export function problemDocument(problem: Problem | undefined): unknown {
  return problem === undefined ? null : { ...problem, hint: problem.hint === '' ? null : problem.hint };
}

/** A run report as a person reads it: a line per set and per peer, what went wrong, and how it ended. */
export function reportText(report: RunReport, look: Look): string {
  const rows: Cell[][] = [
    ...report.sets.map((set) => [`set ${set.set}`, outcomeCell(set.outcome, look), setDetail(set)]),
    ...report.peers.map((peer) => [peer.peer, outcomeCell(peer.outcome, look), peerDetail(peer, excusedIn(report))]),
  ];
  const table = renderTable(look, [], rows);
  const warnings = report.sets.flatMap(({ set, warnings: first, moreWarnings }) => [
    ...first.map((warning) => `set ${set}: ${warning}`),
    ...(moreWarnings === 0 ? [] : [`set ${set}: and ${moreWarnings} more, which the log of the node names`]),
  ]);
  const problems = [...[...report.sets, ...report.peers].flatMap(({ problem }) => problem ?? []), ...report.problems];
  return [
    ...(table === '' ? [] : [table]),
    ...warnings.map((warning) => printable(warning)),
    ...report.problems.map((problem) => printable(problem.message)),
    ...new Set(problems.flatMap(({ hint }) => printable(hint) || [])),
    ...auditLines(report),
    ...(report.removed.length === 0 ? [] : [`Removed by retention here: ${report.removed.length}.`]),
    `${conclusionOf(report)} It took ${formatDuration(report.finishedAtMs - report.startedAtMs)}.`,
  ].join('\n');
}

/** What was proven and read again; what was found wrong is among the problems. */
function auditLines({ audit }: RunReport): string[] {
  const counted = (list: 'proven' | 'gone'): string =>
    (audit?.peers ?? [])
      .flatMap((each) => (each[list].length === 0 ? [] : `${each.peer} ${each[list].length}`))
      .join(', ');
  const [proven, gone] = [counted('proven'), counted('gone')];
  const silent = (audit?.peers ?? []).flatMap(({ peer, problem }) =>
    problem === undefined ? [] : [printable(`${peer} did not prove everything: ${problem.message}`)],
  );
  const checked = audit?.scrub?.checked ?? 0;
  return [
    ...(proven === '' ? [] : [`Backups proven to be held: ${proven}.`]),
    ...(gone === '' ? [] : [`Older backups that retention removed there: ${gone}.`]),
    ...silent,
    ...(checked === 0 ? [] : [`Backups read again here: ${checked}.`]),
  ];
}

function outcomeCell(outcome: Outcome, look: Look): Cell {
  const word = outcomeWord(outcome);
  const dress = { done: look.good, unchanged: look.good, partly: look.warning, failed: look.bad }[word];
  return { text: word, dress };
}

function setDetail({ problem, backup, size, warnings, moreWarnings }: SetReport): string {
  if (problem !== undefined) return problem.message;
  const count = warnings.length + moreWarnings;
  const left = count === 0 ? '' : `, ${count} ${count === 1 ? 'warning' : 'warnings'}`;
  return `${backup}${size === 0 ? '' : `, ${formatByteSize(size)}`}${left}`;
}

function peerDetail(
  { peer, problem, delivered, owed, bytes, outcome }: PeerReport,
  excused: readonly string[],
): string {
  const everything = `has everything${excused.includes(peer) ? ' by its receipts' : ''}`;
  const parts = outcome === Outcome.OUTCOME_UNCHANGED ? [everything] : [`took ${delivered.length}`];
  if (bytes > 0) parts.push(`${formatByteSize(bytes)} sent`);
  if (owed > 0) parts.push(`${owed} still owed`);
  if (problem !== undefined) parts.push(problem.message);
  return parts.join(', ');
}

/** The peers that gave an excuse in place of a proof: they may be away, or lost everything. */
function excusedIn({ audit }: RunReport): string[] {
  return (audit?.peers ?? []).flatMap(({ peer, problem }) => (problem === undefined ? [] : [peer]));
}

function conclusionOf(report: RunReport): string {
  const word = outcomeWord(report.outcome);
  const excused = excusedIn(report);
  if (word !== 'unchanged' || excused.length === 0) return conclusions[word];
  return `Nothing changed, and by their receipts every peer has the last backup; ${fewNames(excused)} did not show it.`;
}

const conclusions: Readonly<Record<OutcomeWord, string>> = {
  done: 'Done, all of it.',
  unchanged: 'Nothing changed, and every peer has the last backup.',
  partly: 'Done in part.',
  failed: 'The backup failed.',
};
