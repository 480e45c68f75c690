import { once } from 'node:events';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Sealer } from '../../../src/mesh/envelope/envelope.js';
import { SignedManifest } from '../../../src/mesh/generated/anemone/backup/v1/backup.js';
import {
  type DeliveryProgress,
  Outcome,
  type PeerAudit,
  PeerReport,
  type Problem,
  type RunEvent,
  type RunReport,
  Scrub,
} from '../../../src/mesh/generated/anemone/node/v1/node.js';
import { FileDigest } from '../../../src/mesh/manifest/digest-tree.js';
import { type VerifiedManifest, verifyManifest } from '../../../src/mesh/manifest/manifest.js';
import type { Bytes } from '../../../src/mesh/terms/bytes.js';
import type { Failure } from '../../../src/mesh/terms/failure.js';
import { type Hostname, parseHostname } from '../../../src/mesh/terms/hostname.js';
import type { Log } from '../../../src/mesh/terms/log.js';
import type { ChainHead } from '../../../src/node/run/chain-heads.js';
import { openFingerprints } from '../../../src/node/run/fingerprints.js';
import type { NightSet, Sealing } from '../../../src/node/run/keep-set.js';
import { type NightRequest, nightlyRun } from '../../../src/node/run/nightly-run.js';
import { sourceWatch } from '../../../src/node/run/source-watch.js';
import type { Draft } from '../../../src/node/vault/draft.js';
import { entryOf } from '../../../src/node/vault/held-entry.js';
import { FakeClock } from '../../support/fake-clock.js';
import { throwawayServer } from '../../support/identities.js';

/** A peer of the stage: it takes what it lacks, unless it is away. */
export interface StagePeer {
  readonly name: Hostname;
  readonly holds: Set<string>;
  away: boolean;
}

/** Seals without a secret: the bytes of the source after a mark that no plaintext of the tests has. */
const sealer: Sealer = {
  format: 'age',
  async *seal(plaintext) {
    yield Buffer.from('age-encryption.org/v1\n');
    yield* plaintext;
  },
};

/** What the reading again tells on the stage. */
export const nothingRead: Scrub = Scrub.fromJSON({});

/** One server with a vault in a folder, and peers, for nights to happen on. */
export class Stage {
  readonly clock = new FakeClock('2026-11-23T01:00:00.700Z');
  readonly backups: VerifiedManifest[] = [];
  readonly peers: StagePeer[] = [];
  readonly recorded: RunReport[] = [];
  readonly events: RunEvent[] = [];
  /** Warnings of the log: the event, and its reason. */
  readonly logged: string[] = [];
  sealing: Sealing = { mode: 'incremental', sealer: async () => sealer, sealedFor: 'age1one' };
  /** Instead of the ordinary commit, sweep or record. */
  failCommit = false;
  failSweep = false;
  failRecord = false;
  /** Called when a delivery has begun that lasts until the next run waits. */
  slow: (() => void) | null = null;
  /** Called when proofs have begun that last until somebody waits for the next run. */
  slowProofs: (() => void) | null = null;
  /** What the retention could not do beside what it did. */
  stuck: readonly Failure[] = [];
  /** What peers say that they lost, what their proofs show, and when that was asked. */
  readonly audited = {
    lost: [] as PeerAudit[],
    told: [] as Problem[],
    problems: [] as Problem[],
    order: [] as string[],
  };
  /** How long the question to the peers takes, before a run knows what they hold. */
  asking: Promise<unknown> = Promise.resolve();
  /** What peers know of the time before this server was rebuilt. */
  before: ChainHead | null = null;
  readonly #server = throwawayServer('FR1');
  readonly #night = nightlyRun(this.#parts());

  private constructor(readonly folder: string) {}

  static async open(...peers: string[]): Promise<Stage> {
    const stage = new Stage(await mkdtemp(join(tmpdir(), 'night-')));
    for (const folder of ['drafts', 'local']) await mkdir(join(stage.folder, folder));
    for (const name of peers) stage.peers.push({ name: parseHostname(name), holds: new Set(), away: false });
    return stage;
  }

  close(): Promise<void> {
    return rm(this.folder, { recursive: true });
  }

  run(sets: readonly NightSet[], options: Partial<NightRequest> & { signal?: AbortSignal } = {}): Promise<RunReport> {
    const { signal = new AbortController().signal, ...request } = options;
    const emit = (event: RunEvent): void => void this.events.push(event);
    return this.#night.run({ trigger: 'schedule', force: false, ...request, sets }, emit, signal);
  }

  drafts(): Promise<string[]> {
    return readdir(join(this.folder, 'drafts'));
  }

  async local(): Promise<string[]> {
    return (await readdir(join(this.folder, 'local'))).sort();
  }

  content(name: string): Promise<string> {
    return readFile(join(this.folder, 'local', name), 'utf8');
  }

  #parts(): Parameters<typeof nightlyRun>[0] {
    const warn: Log['warn'] = (event, fields) => void this.logged.push(`${event}: ${fields?.['reason']}`);
    const log: Log = { debug() {}, info() {}, warn, error() {} };
    const stage = this;
    return {
      clock: this.clock,
      log,
      owner: parseHostname('FR1'),
      signer: this.#server.signer,
      get fingerprints() {
        return openFingerprints(join(stage.folder, 'fingerprints'));
      },
      readSource: sourceWatch(this.clock),
      sealing: () => this.sealing,
      draft: () => this.#draft(),
      chainHeads: { newest: async (set) => this.#head(set), keep: async () => {} },
      isTaken: (name) => this.backups.some((backup) => backup.facts.name === name),
      outbox: {
        peersWithout: async (name) => this.peers.filter((peer) => !peer.holds.has(name)).map((peer) => peer.name),
        deliverNow: async (emit, signal, enough) => {
          if (this.slow === null) return this.peers.map((peer) => this.#deliver(peer, emit, signal));
          const waiting = once(enough, 'abort');
          this.slow();
          await waiting;
          return this.peers.map(({ name }) => notOver(name, String(enough.reason)));
        },
      },
      askPeers: async () => {
        this.audited.order.push(`asked before ${this.backups.length + 1}`);
        await this.asking;
        return { lost: this.audited.lost, problems: this.audited.told };
      },
      auditing: {
        proofs: async (before, signal) => {
          const stopped = once(signal, 'abort');
          this.slowProofs?.();
          if (this.slowProofs !== null && !signal.aborted) await stopped;
          this.slowProofs = null;
          this.audited.order.push(`proofs after ${this.peers.map(({ holds }) => holds.size).join()}`);
          return { peers: [...before], problems: this.audited.problems };
        },
        scrub: async (atNight) => {
          this.audited.order.push(`scrub ${atNight ? 'at night' : 'while waited for'}`);
          return { report: nothingRead, problems: [] };
        },
      },
      sweep: async () => {
        if (this.failSweep) throw new Error('the disk is read-only');
        return { removed: ['anemone-backup-FR1-20260101-010000.enc'], failures: this.stuck };
      },
      history: {
        append: async (report) => {
          if (this.failRecord) throw new Error('the disk is full');
          this.recorded.push(report);
        },
      },
    };
  }

  async #draft(): Promise<Draft> {
    const path = join(this.folder, 'drafts', String(this.clock.now()));
    const digest = new FileDigest();
    const chunks: Uint8Array[] = [];
    await writeFile(path, '');
    return {
      async write(chunk) {
        chunks.push(chunk);
        digest.update(chunk);
      },
      digest: () => digest.finish(),
      commit: async (signed) => {
        if (this.failCommit) throw new Error('the disk is full');
        const manifest = verifyManifest(
          SignedManifest.decode(SignedManifest.encode(signed).finish()),
          this.#server.identity,
        );
        await writeFile(join(this.folder, 'local', manifest.facts.name), Buffer.concat(chunks), { flag: 'wx' });
        this.backups.push(manifest);
        return entryOf(manifest, null);
      },
      discard: () => rm(path, { force: true }),
    };
  }

  #head(set: string): ChainHead | null {
    const newest = this.backups.filter((backup) => backup.facts.set === set).at(-1);
    if (newest === undefined) return this.before;
    const { name, sequence, size } = newest.facts;
    return { name, sequence, size, digest: newest.digest, held: true, next: sequence + 1 };
  }

  #deliver(peer: StagePeer, emit: (progress: DeliveryProgress) => void, signal: AbortSignal): PeerReport {
    const owed = this.backups.filter((backup) => !peer.holds.has(backup.facts.name));
    const report = { ...PeerReport.fromJSON({ peer: peer.name }), outcome: Outcome.OUTCOME_UNCHANGED };
    if (owed.length === 0) return report;
    if (peer.away || signal.aborted) {
      const problem = { kind: signal.aborted ? 'interrupted' : 'unreachable', message: 'no answer', hint: '' };
      return { ...report, outcome: Outcome.OUTCOME_FAILED, owed: owed.length, problem };
    }
    for (const { facts } of owed) {
      for (let bytes = 0; bytes <= facts.size; bytes += 1) {
        emit({ peer: peer.name, backup: facts.name, bytes, total: facts.size });
      }
      peer.holds.add(facts.name);
    }
    return { ...report, outcome: Outcome.OUTCOME_DONE, delivered: owed.map((backup) => backup.facts.name) };
  }
}

function notOver(peer: string, message: string): PeerReport {
  const problem = { kind: 'timeout', message, hint: '' };
  return { ...PeerReport.fromJSON({ peer }), outcome: Outcome.OUTCOME_FAILED, owed: 1, problem };
}

/** A set whose source gives these texts, one chunk each; a function is called when its turn comes. */
export function setOf(name: string, ...chunks: (string | (() => void | Promise<void>))[]): NightSet {
  async function* read(): Bytes {
    for (const chunk of chunks) {
      if (typeof chunk === 'string') yield Buffer.from(chunk);
      else await chunk();
    }
  }
  return { name, sealed: false, read };
}
