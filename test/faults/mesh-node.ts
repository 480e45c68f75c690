import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { signManifest } from '../../src/mesh/manifest/manifest.js';
import { signReceipt } from '../../src/mesh/manifest/receipt.js';
import { bulkPatience } from '../../src/mesh/peers/connection.js';
import { systemClock } from '../../src/mesh/terms/clock.js';
import { Failure } from '../../src/mesh/terms/failure.js';
import { parseHostname } from '../../src/mesh/terms/hostname.js';
import { type Outbox, openOutbox } from '../../src/node/outbox/outbox.js';
import { openReceipts, type Receipts } from '../../src/node/outbox/receipts.js';
import { sweep } from '../../src/node/retention/sweep.js';
import { openVault, type Vault } from '../../src/node/vault/vault.js';
import { type Fault, type FaultyDisk, faultyDisk } from '../node/vault/faulty-disk.js';
import { silent } from '../support/events.js';
import { FakeClock } from '../support/fake-clock.js';
import { factsAbout } from '../support/manifests.js';
import { type Network, peerOf } from './mesh-network.js';
import { bytesOf, type Random } from './random.js';
import { identityOf, serverOf } from './world.js';

const rules = { keepLast: 3, keepDaily: 3, keepWeekly: 0, keepMonthly: 0, minimumDays: 1 };

/** One server of the simulated mesh: the real vault, outbox, receipts and retention, on a disk and a clock that lie. */
export class MeshNode {
  readonly name;
  readonly data: string;
  readonly clock: FakeClock;
  /** Null while it is down. */
  vault: Vault | null = null;
  receipts: Receipts;
  #outbox: Outbox | null = null;
  #faulty: FaultyDisk = faultyDisk();
  readonly #network: Network;
  readonly #random: Random;
  #made = 0;
  #latest = 0;

  constructor(name: string, root: string, network: Network, random: Random) {
    this.name = parseHostname(name);
    this.data = join(root, name);
    this.clock = new FakeClock('2026-11-23T01:00:00Z');
    this.#network = network;
    this.#random = random;
    this.receipts = openReceipts(join(this.data, '.state/receipts'), silent, () => false);
  }

  async start(): Promise<void> {
    await mkdir(this.data, { recursive: true });
    this.#faulty = faultyDisk();
    const vault = await openVault({
      data: this.data,
      host: this.name,
      clock: this.clock,
      log: silent,
      disk: this.#faulty.disk,
      identityOf,
      acknowledge: (manifestDigest, receivedAt) =>
        signReceipt({ manifestDigest, receivedAt }, serverOf(this.name).signer),
      quotaOf: () => 0,
      minimumFree: () => 0,
    });
    this.vault = vault;
    const peers = this.#network.nodes
      .filter((node) => node !== this)
      .map((node) => peerOf(this, vault, node, this.#network));
    this.#outbox = openOutbox({
      clock: this.clock,
      log: silent,
      receipts: this.receipts,
      ownBackups: async () => vault.list().filter(({ own }) => own),
    });
    await this.#outbox.follow(peers);
  }

  /** The power goes: from here on no call reaches the disk, whatever was under way. */
  async crash(): Promise<void> {
    this.failDisk('EIO', () => true);
    this.vault = null;
    const outbox = this.#outbox;
    this.#outbox = null;
    await this.#whileTimePasses(outbox?.stop() ?? Promise.resolve());
  }

  /** Lets disk calls fail, counted from now. */
  failDisk(fault: Fault, isBad: (call: number) => boolean): void {
    const now = this.#faulty.calls.length;
    this.#faulty.fail(fault, (call) => isBad(call - now));
  }

  async makeBackup(): Promise<void> {
    const vault = this.vault;
    if (vault === null) return;
    this.#made += 1;
    const content = bytesOf(`${this.name} ${this.#made} ${this.clock.now()}`, 1 + this.#random.below(140_000));
    const draft = await vault.draft();
    try {
      await draft.write(content);
      const { signer } = serverOf(this.name);
      const newest = vault.list({ owner: this.name, set: 'backup' })[0];
      const facts = factsAbout(content, signer, {
        owner: this.name,
        sequence: (newest?.sequence ?? 0) + 1,
        previous: newest?.digest ?? Buffer.alloc(0),
        createdAtMs: this.#nextSecond(),
      });
      await draft.commit(signManifest(facts, signer));
    } finally {
      await draft.discard();
    }
  }

  /** A second that no backup of this server was named after, also none that was lost since. */
  #nextSecond(): number {
    this.#latest = Math.max(this.clock.now(), this.#latest + 1000);
    return this.#latest;
  }

  /** Gives every peer what it is owed, as a night does. @returns what is still owed, and why */
  async deliver(): Promise<readonly string[]> {
    const outbox = this.#outbox;
    if (outbox === null) return [];
    const never = new AbortController().signal;
    const reports = await this.#whileTimePasses(outbox.deliverNow(() => {}, { stop: never, hurry: never }));
    return reports.flatMap(({ peer, owed, problem }) =>
      owed > 0 ? [`${owed} to ${peer}: ${problem?.message ?? 'nobody knows why'}`] : [],
    );
  }

  /** @returns file names that retention removed */
  async sweep(): Promise<readonly string[]> {
    const { vault, clock } = this;
    if (vault === null) return [];
    const history = { reports: async () => [], isCut: async () => false };
    const rulesOfAll = { local: rules, peers: rules };
    const { removed } = await sweep({ vault, rules: rulesOfAll, identityOf, clock, history });
    await this.receipts.prune(new Set(vault.list().map(({ name }) => name)));
    return removed;
  }

  /** What is left when nobody went on with an upload for more than its 7 days. */
  async leftovers(): Promise<string[]> {
    this.clock.jump(Math.max(0, systemClock.now() - this.clock.now()) + 8 * 86_400_000);
    await this.vault?.tidy();
    const [incoming, state] = await Promise.all([
      readdir(join(this.data, '.incoming')),
      readdir(join(this.data, '.state'), { recursive: true }),
    ]);
    return [...incoming, ...state.filter((file) => file.endsWith('.new'))];
  }

  async remove(): Promise<void> {
    await this.crash();
    await rm(this.data, { recursive: true, force: true });
  }

  /** A peer may never answer: then it is the clock that ends the waiting. */
  async #whileTimePasses<T>(work: Promise<T>): Promise<T> {
    let over = false;
    const watched = work.finally(() => {
      over = true;
    });
    watched.catch(() => {});
    for (let turns = 0; !over; turns += 1) {
      await this.#network.breathe();
      if (turns % 4 === 3 && this.#network.waiting > 0) await this.#network.advance(bulkPatience / 2);
      if (turns > 10_000) throw new Failure('timeout', `${this.name} never comes to an end`);
    }
    return watched;
  }
}
