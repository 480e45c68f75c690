import { Manifest } from '../../mesh/generated/anemone/backup/v1/backup.js';
import { FileDigest, leafSize } from '../../mesh/manifest/digest-tree.js';
import { Failure } from '../../mesh/terms/failure.js';
import { isLost, mayBeReadAgain, readFailure } from './disk.js';
import type { HeldEntry } from './held-entry.js';
import type { LeafRecorder } from './leaves.js';
import type { Parts } from './parts.js';
import type { Proving } from './proving.js';
import type { ReadSpans } from './reading.js';

/** Told of bytes that were read; the reading goes on when it resolves. */
export type Pace = (bytes: number) => Promise<void>;

/**
 * How long an examination counts, in milliseconds, for an owner that asks again because the last answer did not come in
 * time. It is longer than the longest wait between two of its tries.
 */
const freshness = 20 * 60_000;

/** Hashes of leaves that are given out at a time: those of 8 MiB, which any disk reads in a second. */
const worthGiving = 128;

const atOnce: Pace = async () => {};

/** How long an owner waits for an examination before it is told to ask again, in milliseconds. */
const patience = 5_000;

/** Says whether backups still are what their owner signed, by reading them whole again. */
export class Examining {
  readonly #parts: Parts;
  readonly #proving: Proving;
  readonly #read: ReadSpans;
  readonly #running = new Map<HeldEntry, Promise<void>>();
  readonly #stopping = new AbortController();
  /** When a backup was found right, by the monotonic clock. */
  readonly #foundRight = new WeakMap<HeldEntry, number>();

  constructor(parts: Parts, proving: Proving, read: ReadSpans) {
    this.#parts = parts;
    this.#proving = proving;
    this.#read = read;
  }

  /**
   * Compares size and tree root with the manifest, and keeps the leaf hashes on the way. Calls for one backup that is being
   * examined share the result. Where only the SHA-256 differs, these are the bytes that were acknowledged, and its owner
   * signed a manifest that contradicts itself: were that called damage, an owner could fill the quarantine without end.
   * @throws Failure `damaged`, and then the backup is in quarantine; another when nothing can be said about it
   */
  examine(entry: HeldEntry, pace: Pace = atOnce): Promise<void> {
    const running = this.#running.get(entry);
    if (running !== undefined) return running;
    const started = toItsEnd(this.#compare(entry, pace)).finally(() => this.#running.delete(entry));
    this.#running.set(entry, started);
    return started;
  }

  /** Interrupts what is under way, and resolves when nothing is. */
  async stop(): Promise<void> {
    this.#stopping.abort(new Failure('interrupted', 'the node is stopping'));
    await Promise.allSettled(this.#running.values());
  }

  /**
   * Before a backup is acknowledged once more: its owner would not ask if it did not doubt.
   * @throws Failure, retryable, when the examination takes long: the next call gets its result
   */
  async confirm(entry: HeldEntry): Promise<void> {
    const { clock } = this.#parts;
    const before = this.#foundRight.get(entry);
    if (before !== undefined && clock.monotonic() - before < freshness) return;
    let cancel = (): void => {};
    const late = new Promise<never>((_, reject) => {
      cancel = clock.after(patience, () => reject(stillReading(entry)));
    });
    try {
      await Promise.race([this.examine(entry), late]);
    } catch (thrown) {
      const { kind } = Failure.from(thrown);
      // It is not held any more: it is in quarantine, or was removed meanwhile. So it may be sent again.
      if (!['damaged', 'not-found'].includes(kind)) throw thrown;
    } finally {
      cancel();
    }
  }

  /**
   * The hashes of the leaves of a backup from one on; all of them together lead to the root in its manifest. Where they are not
   * kept, they come as the backup is read: that takes minutes where it is large, and nobody waits that long for the first one.
   * @throws Failure `damaged`, and then the backup is in quarantine; `not-found` when it was removed meanwhile
   */
  async *leavesOf(entry: HeldEntry, first: number): AsyncGenerator<Uint8Array> {
    const { manifest } = await this.#proving.sidecar(entry);
    const { treeRoot } = Manifest.decode(manifest.manifest);
    if (await this.#parts.leaves.areRight(entry, treeRoot)) yield* this.#keptLeaves(entry, first);
    else if (first === 0) yield* this.#compare(entry);
    // Only who has the hashes before these can compare them with the manifest: to read those again as well may take minutes.
    else yield (yield* this.#hash(entry, first)).last;
  }

  async *#keptLeaves(entry: HeldEntry, first: number): AsyncGenerator<Uint8Array> {
    const { inventory, leaves } = this.#parts;
    try {
      yield* leaves.read(entry, first);
    } catch (thrown) {
      if (inventory.find(entry.name) === entry) throw readFailure(thrown, entry.name);
      throw new Failure('not-found', `${entry.name} is not held here any more`);
    }
  }

  /**
   * Examines a backup, and gives the hashes of its leaves meanwhile; the last of them once all of it was right. What the disk
   * does not read for the first time stays held, in doubt: it may stumble once over a file, and this may be the last copy.
   */
  async *#compare(entry: HeldEntry, pace: Pace = atOnce): AsyncGenerator<Uint8Array> {
    const { inventory, layout, putAside } = this.#parts;
    const unread = () => inventory.findings.unreadOf(layout.backup(entry.name));
    const before = unread();
    try {
      yield* this.#readAgain(entry, pace);
    } catch (thrown) {
      const [file = ''] = unread();
      const isFirst = !before.includes(file) && mayBeReadAgain(thrown);
      const failure = isFirst ? readFailure(thrown, entry.name) : asDamage(thrown, entry);
      if (failure.kind === 'damaged') await putAside(entry, failure.message);
      throw failure;
    }
  }

  async *#readAgain(entry: HeldEntry, pace: Pace): AsyncGenerator<Uint8Array> {
    const { clock, inventory, layout, leaves } = this.#parts;
    const { manifest } = await this.#proving.sidecar(entry);
    const facts = Manifest.decode(manifest.manifest);
    const recorder = leaves.record(entry.name);
    try {
      const { last, size, sha256, treeRoot } = yield* this.#hash(entry, 0, pace, recorder);
      if (size !== facts.size || !treeRoot.equals(facts.treeRoot)) {
        throw new Failure('damaged', `the bytes of ${entry.name} are not those of its manifest any more`);
      }
      const { data } = layout.backup(entry.name);
      inventory.trust(data);
      if (!sha256.equals(facts.sha256)) {
        inventory.findings.report(
          data,
          `is whole, but ${entry.owner} signed another SHA-256 for it: something is wrong there`,
        );
      }
      await recorder.keep(entry.digest);
      this.#foundRight.set(entry, clock.monotonic());
      yield last;
    } finally {
      await recorder.discard();
    }
  }

  /**
   * Reads a backup from one of its leaves on, and gives their hashes meanwhile.
   * @returns the last of them, and what the bytes that were read add up to
   */
  async *#hash(entry: HeldEntry, first: number, pace: Pace = atOnce, recorder?: LeafRecorder) {
    const offset = first * leafSize;
    let hashes: Uint8Array[] = [];
    const running = new FileDigest((hash) => {
      recorder?.add(hash);
      hashes.push(hash);
    });
    for await (const chunk of this.#read(entry, [{ offset, length: entry.size - offset }])) {
      this.#stopping.signal.throwIfAborted();
      running.update(chunk);
      await recorder?.flush();
      await pace(chunk.length);
      if (hashes.length < worthGiving) continue;
      yield Buffer.concat(hashes);
      hashes = [];
    }
    // The last leaf ends here.
    const digest = running.finish();
    return { ...digest, last: Buffer.concat(hashes) };
  }
}

async function toItsEnd(bytes: AsyncGenerator<Uint8Array>): Promise<void> {
  while (!(await bytes.next()).done);
}

/** A file that the disk cannot read any more is as lost as one that reads differently. */
function asDamage(thrown: unknown, entry: HeldEntry): Failure {
  const failure = Failure.from(thrown, entry.name);
  if (!isLost(failure)) return failure;
  return new Failure('damaged', `the disk cannot read ${entry.name} any more: ${failure.message}`, { cause: thrown });
}

function stillReading(entry: HeldEntry): Failure {
  return new Failure('failed', `${entry.name} is held, and is just being read again to be sure of it`, {
    hint: 'Ask again in a while: the answer is ready then.',
    retryable: true,
  });
}
