import type { GetStatusResponse, RunEvent } from '../mesh/generated/anemone/node/v1/node.js';
import { defaultSet, kitSet, parseSetName } from '../mesh/terms/backup-name.js';
import { Failure } from '../mesh/terms/failure.js';
import type { Hostname } from '../mesh/terms/hostname.js';
import type { Auditing } from './audit/auditing.js';
import type { Base } from './base.js';
import { diskTroubles } from './disk-trouble.js';
import type { ConfigFollower } from './follow-config.js';
import { type History, setStatuses } from './report/history.js';
import { problemOf } from './report/problem.js';
import type { NightSet } from './run/keep-set.js';
import { setFromFile, setsOf } from './run/night-sets.js';
import type { NightlyRun } from './run/one-at-a-time.js';
import type { Scheduler } from './schedule/scheduler.js';
import type { OwnRequests } from './service/own-server.js';
import type { Deliveries } from './start-deliveries.js';
import type { Vault } from './vault/vault.js';

export interface OwnRequestsParts {
  readonly following: ConfigFollower;
  readonly version: string;
  /** Milliseconds since 1970. */
  readonly startedAt: number;
  readonly vault: Vault;
  readonly deliveries: Deliveries;
  readonly auditing: Auditing;
  readonly nightlyRun: NightlyRun;
  readonly history: History;
  readonly scheduler: Scheduler;
  /** Aborts when the node stops: a run on request ends then, with a report that says so. */
  readonly stopping: AbortSignal;
  /** When each peer last called, milliseconds since 1970. */
  readonly lastSeen: ReadonlyMap<Hostname, number>;
}

/** Does for the own client what it asks. */
export function answerOwnRequests(base: Base, parts: OwnRequestsParts): OwnRequests {
  const { nightlyRun, stopping } = parts;
  const onRequest = async (
    sets: () => readonly NightSet[],
    force: boolean,
    emit: (event: RunEvent) => void,
    signal: AbortSignal,
  ): Promise<void> => {
    // Whoever changed the file and asks for a backup at once wants what it says now.
    await parts.following.reload();
    const request = { trigger: 'request', sets: sets(), force } as const;
    await nightlyRun.run(request, emit, AbortSignal.any([signal, stopping]));
  };
  return {
    runBackup: ({ set, force }, emit, signal) =>
      onRequest(() => setsOf(base.config, set, base.self.signer), force, emit, signal),
    pushFile({ path, set }, emit, signal) {
      const name = set === '' ? defaultSet : parseSetName(set);
      if (name === kitSet) throw new Failure('invalid', `the set ${kitSet} is made by the runs themselves`);
      return onRequest(() => [setFromFile(name, path)], true, emit, signal);
    },
    status: () => statusOf(base, parts),
    retention: () => base.config.retention,
    reload: parts.following.reload,
  };
}

/** Of a peer that was configured a moment ago. */
const noDelivery = { owed: [], problem: undefined, problemMayPass: false, nextTryAtMs: 0 };

async function statusOf({ config, self }: Base, parts: OwnRequestsParts): Promise<GetStatusResponse> {
  const { vault, deliveries, auditing, nightlyRun, history, scheduler } = parts;
  const owed = new Map((await deliveries.outbox.status()).map((status) => [status.name, status]));
  const past = await history.reports().catch((thrown) => Failure.from(thrown));
  const reports = past instanceof Failure ? [] : past;
  const historyProblem = past instanceof Failure ? past : history.unsaved();
  const { server, limits, backup } = config;
  const { rate, until } = deliveries.upload();
  const free = await vault.free();
  return {
    hostname: server.name,
    version: parts.version,
    startedAtMs: parts.startedAt,
    epochMs: self.certificate.epoch,
    peers: await Promise.all(
      config.peers
        .filter(({ enabled }) => enabled)
        .map(async ({ name, quota }) => ({
          ...(owed.get(name) ?? { ...noDelivery, name }),
          used: vault.used(name),
          quota,
          night: sizeOfNight(vault, name),
          lastSeenAtMs: parts.lastSeen.get(name) ?? 0,
          provenAtMs: await auditing.lastProof(name),
        })),
    ),
    lastRun: reports.at(-1),
    nextRunAtMs: scheduler.nextRunAt,
    running: nightlyRun.running(),
    free,
    diskTroubles: await diskTroubles(server.data, free, limits.minimumFree),
    findings: vault.findings(),
    uploadRate: rate,
    uploadUntil: until ?? '',
    needsRestart: [...parts.following.needsRestart()],
    historyProblem: historyProblem === null ? undefined : problemOf(historyProblem),
    sets: setStatuses(reports, backup.sets.length === 0 ? [] : [...backup.sets.map((set) => set.name), kitSet]),
  };
}

/** What the next night of an owner may need here: as much as the newest backup of every set. */
function sizeOfNight(vault: Vault, owner: Hostname): number {
  const newest = new Map(
    vault
      .list({ owner })
      .reverse()
      .map(({ set, size }) => [set, size]),
  );
  return [...newest.values()].reduce((sum, size) => sum + size, 0);
}
