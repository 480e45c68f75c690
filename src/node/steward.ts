import type { Config } from '../mesh/config/config.js';
import type { UploadNow } from '../mesh/config/upload-limit.js';
import type { GetStatusResponse, RunEvent } from '../mesh/generated/anemone/node/v1/node.js';
import { defaultSet, kitSet, parseSetName } from '../mesh/terms/backup-name.js';
import { Failure } from '../mesh/terms/failure.js';
import type { Hostname } from '../mesh/terms/hostname.js';
import { diskTroubles } from './disk-trouble.js';
import type { ConfigFollower } from './follow-config.js';
import type { Outbox } from './outbox/outbox.js';
import { type History, setStatuses } from './report/history.js';
import { problemOf } from './report/problem.js';
import type { NightSet } from './schedule/keep-set.js';
import { setFromFile } from './schedule/night-sets.js';
import type { NightlyRun } from './schedule/nightly-run.js';
import type { Scheduler } from './schedule/scheduler.js';
import type { Steward } from './service/own-server.js';
import type { Vault } from './vault/vault.js';

export interface StewardParts {
  /** The configuration of this moment. */
  config(): Config;
  /** What is backed up now: one set of the configuration, or all with the empty string. */
  sets(only: string): NightSet[];
  readonly following: Pick<ConfigFollower, 'reload' | 'needsRestart'>;
  readonly version: string;
  /** Of its node key. */
  readonly epoch: number;
  /** Milliseconds since 1970. */
  readonly startedAt: number;
  readonly vault: Vault;
  readonly outbox: Outbox;
  readonly nightlyRun: NightlyRun;
  readonly history: History;
  readonly scheduler: Scheduler;
  /** Aborts when the node stops: a run on request ends then, with a report that says so. */
  readonly stopping: AbortSignal;
  /** When a peer last called or answered, milliseconds since 1970; 0 for never. */
  lastSeen(name: Hostname): number;
  /** When a peer last proved what it holds, milliseconds since 1970; 0 for never. */
  lastProof(name: Hostname): Promise<number>;
  /** How much may be sent to all peers together now. */
  upload(): UploadNow;
}

/** Does for the own client what it asks. */
export function makeSteward(parts: StewardParts): Steward {
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
    runBackup: ({ set, force }, emit, signal) => onRequest(() => parts.sets(set), force, emit, signal),
    pushFile({ path, set }, emit, signal) {
      const name = set === '' ? defaultSet : parseSetName(set);
      if (name === kitSet) throw new Failure('invalid', `the set ${kitSet} is made by the runs themselves`);
      return onRequest(() => [setFromFile(name, path)], true, emit, signal);
    },
    status: () => statusOf(parts),
    retention: () => parts.config().retention,
    reload: parts.following.reload,
  };
}

/** Of a peer that was configured a moment ago. */
const noDelivery = { owed: [], problem: undefined, problemMayPass: false, nextTryAtMs: 0 };

async function statusOf(parts: StewardParts): Promise<GetStatusResponse> {
  const { config, vault, outbox, nightlyRun, history, scheduler } = parts;
  const deliveries = new Map((await outbox.status()).map((delivery) => [delivery.name, delivery]));
  const past = await history.reports().catch((thrown) => Failure.from(thrown));
  const reports = past instanceof Failure ? [] : past;
  const historyProblem = past instanceof Failure ? past : history.unsaved();
  const peers = config().peers.filter(({ enabled }) => enabled);
  const proofs = new Map(
    await Promise.all(peers.map(async ({ name }) => [name, await parts.lastProof(name)] as const)),
  );
  const { server, limits, backup } = config();
  const { rate, until } = parts.upload();
  const free = await vault.free();
  return {
    hostname: server.name,
    version: parts.version,
    startedAtMs: parts.startedAt,
    epochMs: parts.epoch,
    peers: peers.map(({ name, quota }) => {
      const delivery = deliveries.get(name) ?? { ...noDelivery, name };
      const lastSeenAtMs = parts.lastSeen(name);
      const provenAtMs = proofs.get(name) ?? 0;
      const night = sizeOfNight(vault, name);
      return { ...delivery, used: vault.used(name), quota, night, lastSeenAtMs, provenAtMs };
    }),
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
