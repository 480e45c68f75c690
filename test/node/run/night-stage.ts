import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Sealer } from '../../../src/mesh/envelope/envelope.js';
import {
  type PeerAudit,
  type Problem,
  type RunEvent,
  type RunReport,
  Scrub,
} from '../../../src/mesh/generated/anemone/node/v1/node.js';
import { makeServerIdentity } from '../../../src/mesh/identity/server-identity.js';
import { type VerifiedManifest, verifyManifest } from '../../../src/mesh/manifest/manifest.js';
import type { Bytes } from '../../../src/mesh/terms/bytes.js';
import { Failure } from '../../../src/mesh/terms/failure.js';
import type { Log } from '../../../src/mesh/terms/log.js';
import { type Outbox, openOutbox } from '../../../src/node/outbox/outbox.js';
import { openReceipts } from '../../../src/node/outbox/receipts.js';
import { openChainHeads, type Shown } from '../../../src/node/run/chain-heads.js';
import { openFingerprints } from '../../../src/node/run/fingerprints.js';
import type { NightSet, Sealing } from '../../../src/node/run/keep-set.js';
import type { NightRequest } from '../../../src/node/run/nightly-run.js';
import { type NightlyRun, oneAtATime } from '../../../src/node/run/one-at-a-time.js';
import { sourceWatch } from '../../../src/node/run/source-watch.js';
import type { Vault } from '../../../src/node/vault/vault.js';
import { FakeClock } from '../../support/fake-clock.js';
import { manifestOf } from '../../support/manifests.js';
import { recoverableServer } from '../../support/restorable.js';
import { TestPeer } from '../outbox/test-peer.js';
import { faultyDisk } from '../vault/faulty-disk.js';
import { FR1, VaultFixture } from '../vault/fixture.js';

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

/** The server of the stage, and what its node key was before it was rebuilt. */
const { keys, server } = recoverableServer('FR1');
const former = makeServerIdentity(keys, 'FR1', server.certificate.epoch - 1);

/** One server with its vault, its chains and its outbox, and peers, for nights to happen on. */
export class Stage {
  readonly clock = new FakeClock('2026-11-23T01:00:00.700Z');
  readonly recorded: RunReport[] = [];
  readonly events: RunEvent[] = [];
  /** Warnings of the log: the event, and its reason. */
  readonly logged: string[] = [];
  sealing: Sealing = { mode: 'incremental', sealer: async () => sealer, sealedFor: 'age1one' };
  /** Instead of the ordinary sweep or record. */
  failSweep = false;
  failRecord = false;
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
  /** The newest backups of this server that its peers hold, where it may know of none that is as new. */
  readonly shown: Shown[] = [];
  readonly outbox: Outbox;
  readonly #log: Log = {
    debug() {},
    info() {},
    warn: (event, fields) => void this.logged.push(`${event}: ${fields?.['reason']}`),
    error() {},
  };
  readonly #night: NightlyRun;

  private constructor(
    readonly files: VaultFixture,
    readonly vault: Vault,
    readonly disk: ReturnType<typeof faultyDisk>,
    readonly peers: readonly TestPeer[],
  ) {
    this.outbox = openOutbox({
      clock: this.clock,
      log: this.#log,
      receipts: openReceipts(join(vault.layout.state, 'receipts'), this.#log, () => false),
      ownBackups: async () => vault.list(),
    });
    this.#night = this.#openNight();
  }

  static async open(...peers: string[]): Promise<Stage> {
    const files = await VaultFixture.make();
    const disk = faultyDisk();
    const vault = await files.open({ disk: disk.disk, identityOf: () => server.identity });
    const stage = new Stage(
      files,
      vault,
      disk,
      peers.map((name) => new TestPeer(name)),
    );
    await stage.outbox.follow(stage.peers);
    return stage;
  }

  async close(): Promise<void> {
    await this.outbox.stop();
    await this.vault.close();
    await this.files.remove();
  }

  run(sets: readonly NightSet[], options: Partial<NightRequest> & { signal?: AbortSignal } = {}): Promise<RunReport> {
    const { signal = new AbortController().signal, ...request } = options;
    const emit = (event: RunEvent): void => void this.events.push(event);
    return this.#night.run({ trigger: 'schedule', force: false, ...request, sets }, emit, signal);
  }

  drafts(): Promise<string[]> {
    return this.files.files('.incoming');
  }

  /** The manifests of the backups that are kept, the oldest first. */
  async backups(): Promise<VerifiedManifest[]> {
    const names = this.vault.list().map(({ name }) => name);
    const held = await Promise.all(names.reverse().map((name) => this.vault.held(name)));
    return held.map(({ manifest }) => verifyManifest(manifest, server.identity));
  }

  /** File names of the backups that are kept. */
  async local(): Promise<string[]> {
    return (await this.files.files('local')).filter((file) => file.endsWith('.enc'));
  }

  /** The data folder. */
  get folder(): string {
    return this.files.data;
  }

  content(name: string): Promise<string> {
    return readFile(join(this.folder, 'local', name), 'utf8');
  }

  /** Where it is written down what went into the last backup of each set. */
  get fingerprints(): string {
    return join(this.vault.layout.state, 'fingerprints');
  }

  /** Has a peer show a backup of this server from before it was rebuilt. */
  showFormer(sequence: number): VerifiedManifest {
    const manifest = manifestOf(Buffer.from('before'), former.signer, { sequence, previous: Buffer.alloc(32, 7) });
    this.shown.push({ peer: 'FR2', manifest: manifest.signed });
    return manifest;
  }

  #openNight(): NightlyRun {
    const { clock, vault, outbox, audited } = this;
    const heads = openChainHeads(vault, server, this.#log);
    return oneAtATime({
      clock,
      log: this.#log,
      owner: FR1,
      signer: server.signer,
      fingerprints: openFingerprints(this.fingerprints),
      readSource: sourceWatch(clock),
      sealing: () => this.sealing,
      draft: () => vault.draft(),
      chainHeads: heads,
      isTaken: (name) => vault.find(name) !== null,
      outbox,
      askPeers: async () => {
        audited.order.push(`asked before ${vault.list().length + 1}`);
        await this.asking;
        return { lost: audited.lost, problems: [...audited.told, ...(await heads.goOnFrom(this.shown))] };
      },
      auditing: {
        proofs: async (before, signal) => {
          const stopped = once(signal, 'abort');
          this.slowProofs?.();
          if (this.slowProofs !== null && !signal.aborted) await stopped;
          this.slowProofs = null;
          audited.order.push(`proofs after ${this.peers.map(({ taken }) => taken.length).join()}`);
          return { peers: [...before], problems: audited.problems };
        },
        scrub: async (atNight) => {
          audited.order.push(`scrub ${atNight ? 'at night' : 'while waited for'}`);
          return { report: nothingRead, problems: [] };
        },
      },
      sweep: async () => {
        if (this.failSweep) throw new Error('the disk is read-only');
        return { removed: ['anemone-backup-FR1-20260101-010000.enc'], failures: this.stuck };
      },
      history: {
        append: async (report) => {
          this.recorded.push(report);
          return this.failRecord ? new Failure('no-space', 'the history cannot be written: the disk is full') : null;
        },
      },
    });
  }
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
