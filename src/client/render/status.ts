import type { Config, PeerConfig } from '../../mesh/config/config.js';
import type { GetStatusResponse, PeerStatus, SetStatus } from '../../mesh/generated/anemone/node/v1/node.js';
import type { ServerIdentity } from '../../mesh/identity/server-identity.js';
import { hasSeenNewer, isClockOff, type TimedNode } from '../../mesh/peers/get-node.js';
import { formatAddress } from '../../mesh/terms/address.js';
import { formatByteSize } from '../../mesh/terms/byte-size.js';
import { printable } from '../../mesh/terms/clean-text.js';
import type { Failure } from '../../mesh/terms/failure.js';
import { drillDocument, type LastDrill, provenInWords } from './drill.js';
import { faultsOf, type Standard } from './faults.js';
import type { Look } from './look.js';
import { formatDuration, formatMoment, formatTime } from './moments.js';
import { peerHints } from './peer-hints.js';
import { isoTime, outcomeWord, problemDocument, reportDocument } from './report.js';
import { type Cell, renderTable } from './table.js';

type Silence = { readonly failure: Failure };

/** How things stand, as the own node and every peer told it just now. */
export interface MeshStatus extends Standard {
  readonly config: Config;
  readonly node: GetStatusResponse | Silence;
  readonly peers: readonly PeerView[];
  /** The last time that a recovery was proven. */
  readonly drill?: LastDrill;
}

export interface PeerView {
  readonly config: PeerConfig;
  /** What the peer said; undefined when it is disabled and was not asked. */
  readonly answer: TimedNode | Silence | undefined;
  /** What the own node knows of it; absent when the node is not running. */
  readonly status?: PeerStatus;
}

export function statusDocument(status: MeshStatus): unknown {
  const { self, node, peers, drill, now } = status;
  const { server } = status.config;
  const running = 'failure' in node ? null : node;
  return {
    server: {
      name: server.name,
      address: formatAddress(server.listen),
      identity: self.identity,
      ok: running !== null && faultsOf(running, status).length === 0,
      running: running !== null,
      error: 'failure' in node ? node.failure.message : null,
      version: running?.version ?? null,
      started_at: isoTime(running?.startedAtMs ?? 0),
      backup_running: running?.running ?? null,
      free: running?.free ?? null,
      findings: running === null ? [] : findingsOf(running, status),
      upload: running === null ? null : { rate: running.uploadRate, until: running.uploadUntil || null },
    },
    sets: (running?.sets ?? []).map(setDocument),
    peers: peers.map((peer) => peerDocument(peer, self, now)),
    last_run: running?.lastRun === undefined ? null : reportDocument(running.lastRun),
    next_run_at: isoTime(running?.nextRunAtMs ?? 0),
    drill: drillDocument(drill),
  };
}

function setDocument({ set, triedAtMs, savedAtMs, problem, warnings, firstWarning }: SetStatus): unknown {
  return {
    set,
    tried_at: isoTime(triedAtMs),
    saved_at: isoTime(savedAtMs),
    problem: problemDocument(problem),
    warnings,
    first_warning: firstWarning || null,
  };
}

function peerDocument(peer: PeerView, self: ServerIdentity, now: number): unknown {
  const { config, answer, status } = peer;
  const timed = answer === undefined || 'failure' in answer ? undefined : answer;
  const node = timed?.node;
  const refusal = refusalOf(peer, self);
  return {
    name: config.name,
    address: formatAddress(config.address),
    enabled: config.enabled,
    ok: node !== undefined && refusal === null,
    error: answer !== undefined && 'failure' in answer ? answer.failure.message : refusal,
    version: node?.version ?? null,
    clock_offset_ms: timed === undefined ? null : Math.round(timed.clockAhead),
    stored_there: node === undefined ? null : { used: node.used, quota: node.quota, free: node.free },
    stored_here: status === undefined ? null : { used: status.used, quota: status.quota },
    owed: status?.owed ?? null,
    last_seen_at: isoTime(status?.lastSeenAtMs ?? 0),
    problem: problemDocument(status?.problem),
    next_try_at: isoTime(status?.nextTryAtMs ?? 0),
    proven_at: isoTime(status?.provenAtMs ?? 0),
    remarks: remarksOf(peer, self, now),
  };
}

export function statusText(status: MeshStatus, look: Look): string {
  const { peers, self, now } = status;
  const rows = peers.map((peer): Cell[] => [
    peer.config.name,
    stateOf(peer, self, look),
    peer.status === undefined ? '?' : String(peer.status.owed.length),
    thereOf(peer),
    peer.status === undefined ? '?' : usage(peer.status.used, peer.status.quota),
    remarksOf(peer, self, now).join('; '),
  ]);
  return [
    renderTable(look, [], serverRows(status, look)),
    ...(look.terminal ? [''] : []),
    ...(rows.length === 0
      ? ['No peers yet.']
      : [renderTable(look, ['PEER', 'STATE', 'OWED', 'OURS THERE', 'THEIRS HERE', ''], rows)]),
  ].join('\n');
}

/** What to do about this server, and about peers that did not answer, now or in a run, each thing once. */
export function statusHints(status: MeshStatus): string[] {
  const { node, peers } = status;
  const isTroubled = !('failure' in node) && faultsOf(node, status).length > 0;
  const hints = peers.flatMap(({ config: { name }, answer, status }) =>
    [
      answer !== undefined && 'failure' in answer ? answer.failure.hint : undefined,
      status !== undefined && status.owed.length > 0 ? status.problem?.hint : undefined,
    ].flatMap((hint) => (hint ? { name, hint } : [])),
  );
  return [...(isTroubled ? ['`anemone-peer doctor` tells what to do.'] : []), ...peerHints(hints)];
}

function serverRows(status: MeshStatus, look: Look): Cell[][] {
  const { node, drill, now } = status;
  const { server } = status.config;
  const rows: Cell[][] = [['server', `${server.name} (${formatAddress(server.listen)})`]];
  const recovery: Cell[] = ['recovery', provenInWords(drill, now)];
  if ('failure' in node) {
    const text = node.failure.kind === 'unreachable' ? 'not running' : 'no answer';
    return [...rows, ['node', { text, dress: look.bad }], recovery];
  }
  const { lastRun } = node;
  const none = node.historyProblem === undefined ? 'none yet' : 'not known';
  const last =
    lastRun === undefined ? none : `${outcomeWord(lastRun.outcome)}, ${formatMoment(lastRun.finishedAtMs, now)}`;
  const next =
    node.nextRunAtMs === 0
      ? 'on request only'
      : `${formatMoment(node.nextRunAtMs, now)}, ${formatTime(node.nextRunAtMs)}`;
  return [
    ...rows,
    ['node', `running for ${formatDuration(now - node.startedAtMs)}, version ${node.version}`],
    ['disk', `${formatByteSize(node.free)} free`],
    ...uploadRows(node),
    ['last run', node.running ? `one is under way; before it: ${last}` : last],
    ['next run', next],
    recovery,
    ...findingsOf(node, status).map((finding): Cell[] => ['finding', finding]),
  ];
}

/** What a person should look at on this server. */
function findingsOf(node: GetStatusResponse, standard: Standard): string[] {
  return [...faultsOf(node, standard), ...needsRestart(node), ...node.findings];
}

/** What of the configuration is not in force. */
export function needsRestart(node: GetStatusResponse): string[] {
  return node.needsRestart.map((key) => `${key} is another one in the configuration than in the running node`);
}

/** `at most 512 KiB a second until 23:00`; nothing where there never is a limit. */
function uploadRows({ uploadRate, uploadUntil }: GetStatusResponse): Cell[][] {
  if (uploadRate === 0 && uploadUntil === '') return [];
  const rate = uploadRate === 0 ? 'no limit' : `at most ${formatByteSize(uploadRate)} a second`;
  return [['upload', uploadUntil === '' ? rate : `${rate} until ${uploadUntil}`]];
}

function stateOf(peer: PeerView, self: ServerIdentity, look: Look): Cell {
  const { answer } = peer;
  if (answer === undefined) return { text: 'disabled', dress: look.dim };
  if ('failure' in answer) return { text: 'no answer', dress: look.bad };
  if (refusalOf(peer, self) === null) return { text: 'ok', dress: look.good };
  return { text: 'not served', dress: look.bad };
}

/** Why a peer that answers does not get what it is owed, unless that may pass; null when nothing is known against it. */
export function refusalOf({ answer, status }: PeerView, self: ServerIdentity): string | null {
  if (answer === undefined || 'failure' in answer) return null;
  if (hasSeenNewer(answer.node, self.certificate)) return superseded;
  if (status?.problem === undefined || status.owed.length === 0 || status.problemMayPass) return null;
  return status.problem.message;
}

const superseded = 'knows a newer node key of this server: this one is superseded';

function thereOf({ answer }: PeerView): string {
  return answer === undefined || 'failure' in answer ? '?' : usage(answer.node.used, answer.node.quota);
}

function usage(used: number, quota: number): string {
  return quota === 0 ? formatByteSize(used) : `${formatByteSize(used)} of ${formatByteSize(quota)}`;
}

/** What a person should know about a peer beside the columns. */
function remarksOf({ config, answer, status }: PeerView, self: ServerIdentity, now: number): string[] {
  const remarks: string[] = [];
  if (answer !== undefined && 'failure' in answer) remarks.push(answer.failure.message);
  else if (answer !== undefined) {
    const { node, clockAhead } = answer;
    if (node.hostname !== config.name) remarks.push(`calls itself ${node.hostname}`);
    if (hasSeenNewer(node, self.certificate)) remarks.push(superseded);
    if (isClockOff(answer)) {
      remarks.push(`its clock is ${formatDuration(Math.abs(clockAhead))} ${clockAhead > 0 ? 'ahead' : 'behind'}`);
    }
  }
  if (status !== undefined && status.provenAtMs > 0) {
    remarks.push(`proved what it holds ${formatMoment(status.provenAtMs, now)}`);
  }
  if (status !== undefined && status.owed.length > 0) {
    const { problem, nextTryAtMs } = status;
    // What was found just now may say the same, and more.
    const isNew = problem !== undefined && !remarks.some((remark) => remark.startsWith(problem.message));
    if (isNew) remarks.push(problem.message);
    if (nextTryAtMs > now) remarks.push(`next try ${formatMoment(nextTryAtMs, now)}`);
  }
  return remarks.map((remark) => printable(remark));
}
