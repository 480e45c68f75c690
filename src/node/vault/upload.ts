import type { FileHandle } from 'node:fs/promises';
import type { Range } from '../../mesh/generated/anemone/peer/v1/peer.js';
import { DigestTree, hashSize, leafHash, leafSize } from '../../mesh/manifest/digest-tree.js';
import type { VerifiedManifest } from '../../mesh/manifest/manifest.js';
import { Failure } from '../../mesh/terms/failure.js';
import type { Hostname } from '../../mesh/terms/hostname.js';
import { type Disk, openForReading, openOrCreate, readInto, removeLeftovers, writeAll } from './disk.js';
import type { UploadFiles } from './layout.js';
import { LeafMap } from './leaf-map.js';
import type { Reservation } from './quota.js';

/** Hashes that are read in one go: 64 KiB of them. */
const hashesAtOnce = 2048;
const noHash = Buffer.alloc(hashSize);

interface OpenFiles {
  readonly part: FileHandle;
  readonly leaves: FileHandle;
}

export interface UploadOptions {
  readonly owner: Hostname;
  readonly manifest: VerifiedManifest;
  readonly files: UploadFiles;
  readonly disk: Disk;
  readonly reservation: Reservation;
  /** When it was last written to, milliseconds since 1970. */
  readonly touched: number;
}

/**
 * A backup that is arriving, leaf by leaf, in any order and over any number of connections. A leaf counts once its bytes
 * and its hash are written; which of two connections brought it does not matter. Its files are open only while
 * somebody uses it.
 */
export class Upload {
  readonly owner: Hostname;
  readonly manifest: VerifiedManifest;
  readonly files: UploadFiles;
  /** When it was last written to, milliseconds since 1970. */
  touched: number;
  readonly #disk: Disk;
  readonly #reservation: Reservation;
  readonly #map: LeafMap;
  readonly #beingWritten = new Set<number>();
  #open: Promise<OpenFiles> | null = null;
  #users = 0;
  #gone = false;

  constructor(options: UploadOptions) {
    this.owner = options.owner;
    this.manifest = options.manifest;
    this.files = options.files;
    this.touched = options.touched;
    this.#disk = options.disk;
    this.#reservation = options.reservation;
    this.#map = new LeafMap(options.manifest.facts.size);
  }

  get complete(): boolean {
    return this.#map.complete;
  }

  get idle(): boolean {
    return this.#users === 0;
  }

  missing(): Range[] {
    return this.#map.missing();
  }

  /** Before it goes on after a break. @throws Failure `no-space` */
  confirm(): Promise<void> {
    return this.#reservation.confirm();
  }

  /** Opens the files, for as long as the caller needs them; every call is followed by one of {@link leave}. */
  async enter(): Promise<void> {
    this.#checkThere();
    this.#users += 1;
    this.#open ??= this.#openFiles();
    const opening = this.#open;
    try {
      await opening;
    } catch (thrown) {
      this.#users -= 1;
      if (this.#open === opening) this.#open = null;
      throw thrown;
    }
  }

  /**
   * The last one to leave an unfinished upload makes its bytes durable: closing the files might lose the news of a write
   * that failed.
   * @throws what the disk threw; then the upload is worth nothing any more
   */
  async leave(): Promise<void> {
    this.#users -= 1;
    if (this.#users > 0 || this.#open === null) return;
    const opening = this.#open;
    this.#open = null;
    const { part, leaves } = await opening;
    try {
      if (!this.#gone && !this.complete) await Promise.all([part.sync(), leaves.sync()]);
    } finally {
      await Promise.allSettled([part.close(), leaves.close()]);
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
   * Reads again what an earlier process wrote, and keeps the leaves that still are what their hash says: after a power cut
   * they may not be.
   */
  async examine(): Promise<void> {
    await this.enter();
    try {
      const { part } = await this.#openedFiles();
      const leaf = Buffer.allocUnsafe(leafSize);
      for await (const { index, hash } of this.#hashes()) {
        if (hash.equals(noHash)) continue;
        const bytes = leaf.subarray(0, this.#map.lengthOf(index));
        const length = await readInto(part, bytes, index * leafSize);
        if (length === bytes.length && leafHash(bytes).equals(hash)) this.#arrived(index);
      }
    } finally {
      await this.leave();
    }
  }

  /**
   * Hands out the finished file, to be committed and closed.
   * @throws Failure `damaged` when the leaves do not add up to the manifest's tree
   */
  async finished(): Promise<{ readonly path: string; readonly handle: FileHandle }> {
    this.#checkThere();
    const tree = new DigestTree();
    for await (const { hash } of this.#hashes()) tree.addLeaf(hash);
    const handle = await openForReading(this.#disk, this.files.part);
    try {
      const { size, treeRoot, name } = this.manifest.facts;
      if (!tree.root().equals(treeRoot) || (await handle.stat()).size !== size) {
        throw new Failure('damaged', `the bytes that arrived for ${name} are not those of its manifest`, {
          hint: 'They were thrown away; the owner has to send them again.',
        });
      }
      return { path: this.files.part, handle };
    } catch (thrown) {
      await handle.close();
      throw thrown;
    }
  }

  /** Ends it, whatever became of it: its files are removed, and the space that was promised is free again. */
  async end(): Promise<void> {
    this.#gone = true;
    this.#reservation.release();
    await removeLeftovers(this.#disk, Object.values(this.files));
  }

  #isWanted(leaf: number): boolean {
    return !this.#map.has(leaf) && !this.#beingWritten.has(leaf);
  }

  #checkThere(): void {
    if (this.#gone) throw new Failure('interrupted', `the upload of ${this.manifest.facts.name} was given up`);
  }

  async #storeRun(first: number, bytes: Uint8Array): Promise<void> {
    this.#checkThere();
    const hashes: Buffer[] = [];
    for (let offset = 0; offset < bytes.length; offset += leafSize) {
      this.#beingWritten.add(first + hashes.length);
      hashes.push(leafHash(bytes.subarray(offset, offset + leafSize)));
    }
    try {
      const { part, leaves } = await this.#openedFiles();
      await writeAll(part, bytes, first * leafSize);
      await writeAll(leaves, Buffer.concat(hashes), first * hashSize);
      for (const index of hashes.keys()) this.#arrived(first + index);
    } finally {
      for (const index of hashes.keys()) this.#beingWritten.delete(first + index);
    }
  }

  #arrived(leaf: number): void {
    if (this.#map.has(leaf)) return;
    this.#map.add(leaf);
    this.#reservation.arrived(this.#map.lengthOf(leaf));
  }

  async #openFiles(): Promise<OpenFiles> {
    const part = await openOrCreate(this.#disk, this.files.part);
    try {
      return { part, leaves: await openOrCreate(this.#disk, this.files.leaves) };
    } catch (thrown) {
      await part.close();
      throw thrown;
    }
  }

  #openedFiles(): Promise<OpenFiles> {
    if (this.#open === null) throw new Failure('failed', `the upload of ${this.manifest.facts.name} is not open`);
    return this.#open;
  }

  /** The recorded hashes of all leaves in order; zeros for a leaf that is missing. */
  async *#hashes(): AsyncGenerator<{ readonly index: number; readonly hash: Buffer }> {
    const { leaves } = await this.#openedFiles();
    for (let first = 0; first < this.#map.count; first += hashesAtOnce) {
      const end = Math.min(first + hashesAtOnce, this.#map.count);
      const buffer = Buffer.alloc((end - first) * hashSize);
      await readInto(leaves, buffer, first * hashSize);
      for (let index = first; index < end; index += 1) {
        const at = (index - first) * hashSize;
        yield { index, hash: buffer.subarray(at, at + hashSize) };
      }
    }
  }
}
