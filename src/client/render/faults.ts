import type { Config } from '../../mesh/config/config.js';
import { type GetStatusResponse, Outcome, type SetStatus } from '../../mesh/generated/anemone/node/v1/node.js';
import type { ServerIdentity } from '../../mesh/identity/server-identity.js';
import { formatMoment } from './moments.js';

/** What a server is measured against. */
export interface Standard {
  readonly config: Pick<Config, 'peers' | 'backup'>;
  readonly self: ServerIdentity;
  /** When the file of the configuration changed last: a set in it may be as new. */
  readonly configuredAt: number;
  /** A last run that began before this moment is too long ago. */
  readonly overdue: number;
  readonly now: number;
}

/** Why this server does not save what it should, or may not: whoever watches over it has to hear of that. */
export function faultsOf(node: GetStatusResponse, standard: Standard): string[] {
  const { diskTroubles, historyProblem, sets, lastRun } = node;
  const failing = sets.filter(({ problem }) => problem !== undefined).map((set) => notSaved(set, standard.now));
  const isFailed = lastRun?.outcome === Outcome.OUTCOME_FAILED && failing.length === 0;
  const late = lateRun(node, standard);
  return [
    ...diskTroubles,
    ...(historyProblem === undefined ? [] : [historyProblem.message]),
    ...failing,
    ...neverSaved(node, standard),
    ...(isFailed ? [`the last run failed ${formatMoment(lastRun.startedAtMs, standard.now)}`] : []),
    ...(late === null ? [] : [late]),
    ...lonely(standard),
  ];
}

/** How the last try of a set failed. */
export function notSaved({ set, triedAtMs, problem }: SetStatus, now: number): string {
  return `the set ${set} was not saved ${formatMoment(triedAtMs, now)}: ${problem?.message}`;
}

/** That the last run is too long ago; null when it is not, when none is known, or when one is under way. */
export function lateRun(
  { lastRun, running }: GetStatusResponse,
  measure: Pick<Standard, 'config' | 'overdue' | 'now'>,
): string | null {
  const { config, overdue, now } = measure;
  if (running || lastRun === undefined || lastRun.startedAtMs >= overdue) return null;
  const missed = config.backup.schedule === null ? 'none is scheduled' : 'two nights were due since';
  return `the last run was ${formatMoment(lastRun.startedAtMs, now)}, and ${missed}`;
}

/** The sets that no run ever saved, once the nights have passed that a server or set which is new waits for. */
function neverSaved(node: GetStatusResponse, { config, self, configuredAt, overdue, now }: Standard): string[] {
  // Where past runs are not known, they may have saved each set.
  const isKnown = node.historyProblem === undefined || node.lastRun !== undefined;
  // Where there are none at all, it is not the set that is new.
  const isNew = node.lastRun !== undefined && configuredAt <= now;
  const since = isNew ? Math.max(self.certificate.epoch, configuredAt) : self.certificate.epoch;
  if (!isKnown || since >= overdue) return [];
  const told = node.sets.filter(({ savedAtMs, problem }) => savedAtMs > 0 || problem !== undefined);
  return config.backup.sets
    .filter(({ name }) => !told.some(({ set }) => set === name))
    .map(({ name }) => `no run is known that saved the set ${name}`);
}

/** What no peer keeps is lost with this server. */
function lonely({ config }: Standard): string[] {
  const isAlone = config.backup.sets.length > 0 && !config.peers.some(({ enabled }) => enabled);
  return isAlone ? ['no peer is configured and enabled, so what this server saves is lost with it'] : [];
}
