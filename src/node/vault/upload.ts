import type { FileHandle } from 'node:fs/promises';
import type { Range } from '../../mesh/generated/anemone/peer/v1/peer.js';
import { DigestTree, leafHash, leafSize } from '../../mesh/manifest/digest-tree.js';
import { epochOf, type VerifiedManifest } from '../../mesh/manifest/manifest.js';
import type { Clock } from '../../mesh/terms/clock.js';
import { Failure } from '../../mesh/terms/failure.js';
import type { Hostname } from '../../mesh/terms/hostname.js';
import { settleAll } from '../../mesh/terms/settle-all.js';
import { type Disk, diskFailure, openForWriting, openOrCreate, removeLeftovers, writeAll } from './disk.js';
import type { UploadFiles } from './layout.js';
import { LeafMap } from './leaf-map.js';
import { PartFile } from './part-file.js';
import { Promised } from './quota.js';
import { type Begun, UploadRecord } from './upload-record.js';

export interface UploadOptions {
  readonly manifest: VerifiedManifest;
  readonly files: UploadFiles;
  readonly disk: Disk;
  readonly clock: Clock;
  /** Null for one that begins. */
  readonly begun: Begun | null;
}

/**
 * A backup that is arriving, leaf by leaf, in any order and over any number of connections. A leaf counts once its bytes
 * and its hash are written; which of two connections brought it does not matter. Its files are open only while
 * somebody uses it. Of one that comes whole, in one go, nothing is written down for a later process to go on with.
 */
export class Upload {
  readonly owner: Hostname;
  readonly manifest: VerifiedManifest;
  /** Epoch of the node key that signed the manifest. */
  readonly epoch: number;
  readonly files: UploadFiles;
  /** While it is there, nobody else is promised the same bytes. */
  readonly promised: Promised;
  /** When it was last written to, milliseconds since 1970: an offer alone keeps no upload. */
  touched: number;
  /** Why it has ended; null until then. */
  ended: Failure | null = null;
  readonly #disk: Disk;
  readonly #clock: Clock;
  readonly #map: LeafMap;
  readonly #part: PartFile;
  readonly #record: UploadRecord;
  /** The reading of what an earlier process left; null until somebody asks for it. */
  #ready: Promise<void> | null;
  readonly #beingWritten = new Set<number>();
  /** The hashes of all leaves, where they came whole. */
  #whole: readonly Buffer[] | null = null;

  constructor(options: UploadOptions) {
    const { manifest, files, disk, clock, begun } = options;
    this.owner = manifest.name.owner;
    this.manifest = manifest;
    this.epoch = epochOf(manifest);
    this.files = files;
    this.promised = new Promised(manifest.facts.size, begun?.onDisk ?? 0, clock);
    this.touched = begun?.touched ?? clock.now();
    this.#disk = disk;
    this.#clock = clock;
    this.#map = new LeafMap(manifest.facts.size);
    // Made anew, the file would have zeros where leaves are that count as arrived.
    this.#part = new PartFile(() => (this.#map.empty ? openOrCreate : openForWriting)(disk, files.part));
    this.#record = new UploadRecord(disk, files, manifest, begun !== null);
    this.#ready = begun === null ? Promise.resolve() : null;
  }

  get complete(): boolean {
    return this.#map.complete;
  }

  /** Whether not one leaf has arrived: not so of what an earlier process left and nobody has read yet. */
  get empty(): boolean {
    return this.#ready !== null && this.#map.empty;
  }

  get idle(): boolean {
    return this.#part.idle;
  }

  /** The file with the hashes of its leaves; null where it came whole. */
  get leaves(): string | null {
    return this.#record.leaves;
  }

  missing(): Range[] {
    return this.#map.missing();
  }

  /**
   * Reads again what an earlier process wrote, the first time it is asked for, and keeps the leaves that still are what their
   * hash says: after a power cut they may not be.
   * @throws what the disk threw
   */
  ready(): Promise<void> {
    this.#ready ??= this.#examine().catch((thrown) => {
      this.#ready = null;
      throw thrown;
    });
    return this.#ready;
  }

  /** Opens its file, for as long as the caller needs it; every call is followed by one of {@link leave}. */
  async enter(): Promise<void> {
    this.#checkThere();
    await this.#part.enter();
  }

  /**
   * The last one to leave an upload that goes on makes its bytes durable: closing the files might lose the news of a write
   * that failed.
   * @throws what the disk threw; then the upload is worth nothing any more, and has to be ended
   */
  async leave(): Promise<void> {
    const part = this.#part.leave();
    if (part === null) return;
    const [{ handle, behind }, record] = await Promise.all([part, this.#record.letGo()]);
    const files = record === null ? [handle] : [handle, record];
    try {
      await behind.settled();
      if (this.ended === null) await Promise.all(files.map((file) => file.sync()));
    } catch (thrown) {
      // Not after they are closed: whoever opened them anew meanwhile would hear nothing of it, and the system tells it once.
      this.ended ??= diskFailure(thrown, this.manifest.facts.name);
      throw thrown;
    } finally {
      await Promise.allSettled(files.map((file) => file.close()));
    }
  }

  /**
   * Takes whole leaves that follow each other; those that are there, or that another connection is just writing, are
   * passed over.
   */
  async store(first: number, bytes: Uint8Array): Promise<void> {
    const end = first + Math.ceil(bytes.length / leafSize);
    for (let leaf = first; leaf < end; leaf += 1) {
      if (!this.#isWanted(leaf)) continue;
      const from = leaf;
      while (leaf < end && this.#isWanted(leaf)) leaf += 1;
      await this.#storeRun(from, bytes.subarray((from - first) * leafSize, (leaf - first) * leafSize));
    }
  }

  /**
   * Hands out the finished file, to be committed and closed.
   * @throws Failure `damaged` when the leaves do not add up to the manifest's tree
   */
  async finished(): Promise<{ readonly path: string; readonly handle: FileHandle }> {
    this.#checkThere();
    const tree = new DigestTree();
    for await (const hash of this.#whole ?? this.#record.read(this.#map.count)) tree.addLeaf(hash);
    const { handle, behind } = await this.#part.opened();
    await behind.settled();
    const { size, treeRoot, name } = this.manifest.facts;
    if (!tree.root().equals(treeRoot) || (await handle.stat()).size !== size) {
      throw new Failure('damaged', `the bytes that arrived for ${name} are not those of its manifest`, {
        hint: 'They were thrown away; the owner has to send them again.',
      });
    }
    return { path: this.files.part, handle };
  }

  /**
   * Ends it, whatever became of it: its files are removed.
   * @param why what is told to those who still use it
   */
  async end(why?: Failure): Promise<void> {
    this.ended ??= why ?? new Failure('interrupted', `the upload of ${this.manifest.facts.name} was given up`);
    await removeLeftovers(this.#disk, [this.files.part]);
    await this.#record.remove();
  }

  /** The space that these leaves take was counted when the upload was found. */
  async #examine(): Promise<void> {
    await this.enter();
    try {
      const { handle } = await this.#part.opened();
      await this.#record.compare(handle, this.#map);
    } finally {
      await this.leave();
    }
  }

  #isWanted(leaf: number): boolean {
    return !this.#map.has(leaf) && !this.#beingWritten.has(leaf);
  }

  #checkThere(): void {
    if (this.ended !== null) throw this.ended;
  }

  async #storeRun(first: number, bytes: Uint8Array): Promise<void> {
    this.#checkThere();
    const hashes: Buffer[] = [];
    for (let offset = 0; offset < bytes.length; offset += leafSize) {
      this.#beingWritten.add(first + hashes.length);
      hashes.push(leafHash(bytes.subarray(offset, offset + leafSize)));
    }
    try {
      const { handle, behind } = await this.#part.opened();
      const isWhole = hashes.length === this.#map.count;
      const writing = [writeAll(handle, bytes, first * leafSize)];
      if (!isWhole) writing.push(this.#record.write(first, hashes));
      await settleAll(writing);
      await behind.wrote(bytes.length);
      if (isWhole) this.#whole = hashes;
      for (const index of hashes.keys()) this.#arrived(first + index);
    } finally {
      for (const index of hashes.keys()) this.#beingWritten.delete(first + index);
    }
  }

  #arrived(leaf: number): void {
    if (this.#map.has(leaf)) return;
    this.#map.add(leaf);
    this.touched = this.#clock.now();
    this.promised.arrived(this.#map.lengthOf(leaf));
  }
}
