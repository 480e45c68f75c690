import type { FileHandle } from 'node:fs/promises';
import { Manifest, SignedManifest } from '../../mesh/generated/anemone/backup/v1/backup.js';
import type { Identity } from '../../mesh/identity/identity.js';
import { hashSize, leafHash, leafSize } from '../../mesh/manifest/digest-tree.js';
import { type VerifiedManifest, verifyManifest } from '../../mesh/manifest/manifest.js';
import { Failure } from '../../mesh/terms/failure.js';
import { type Hostname, parseHostname } from '../../mesh/terms/hostname.js';
import {
  create,
  type Disk,
  hasCode,
  openOrCreate,
  readInto,
  readSmall,
  removeFile,
  removeLeftovers,
  writeAll,
} from './disk.js';
import { longestOffer } from './held-entry.js';
import type { UploadFiles } from './layout.js';
import type { LeafMap } from './leaf-map.js';

/** Hashes that are read in one go: 64 KiB of them. */
const hashesAtOnce = 2048;

const noHash = Buffer.alloc(hashSize);

/** What an earlier process left of an upload. */
export interface Begun {
  /** When it was last written to, milliseconds since 1970. */
  readonly touched: number;
  /** Bytes that it takes on the disk. */
  readonly onDisk: number;
}

/** The bytes of a manifest as they lie in the file of its offer. */
export function offerOf({ signed }: VerifiedManifest): Uint8Array {
  return SignedManifest.encode(signed).finish();
}

/**
 * The manifest in the file of an offer; null for one of nobody who is a peer.
 * @throws Failure where it is damaged; otherwise what the disk threw
 */
export async function readOffer(
  disk: Disk,
  path: string,
  identityOf: (host: Hostname) => Identity | null,
): Promise<VerifiedManifest | null> {
  const bytes = await readSmall(disk, path, longestOffer);
  if (bytes === null) throw new Failure('damaged', 'it is too long');
  const signed = SignedManifest.decode(bytes);
  const identity = identityOf(parseHostname(Manifest.decode(signed.manifest).owner));
  return identity === null ? null : verifyManifest(signed, identity);
}

/**
 * What lets a later process go on with an upload: the manifest as it was offered, and the hashes of the leaves that arrived.
 * Its files are there from the first write on.
 */
export class UploadRecord {
  readonly #disk: Disk;
  readonly #files: Pick<UploadFiles, 'offer' | 'leaves'>;
  readonly #manifest: VerifiedManifest;
  #offered: Promise<void> | null;
  #mayExist: boolean;
  #open: Promise<FileHandle> | null = null;

  /** @param isThere whether an earlier process has begun it */
  constructor(disk: Disk, files: UploadFiles, manifest: VerifiedManifest, isThere: boolean) {
    this.#disk = disk;
    this.#files = files;
    this.#manifest = manifest;
    this.#offered = isThere ? Promise.resolve() : null;
    this.#mayExist = isThere;
  }

  /** The file with the hashes; null where nothing was ever taken down. */
  get leaves(): string | null {
    return this.#mayExist ? this.#files.leaves : null;
  }

  /** Takes down the hashes of leaves that follow each other. */
  async write(first: number, hashes: readonly Buffer[]): Promise<void> {
    this.#mayExist = true;
    this.#offered ??= this.#writeOffer().catch((thrown) => {
      this.#offered = null;
      throw thrown;
    });
    await this.#offered;
    await writeAll(await this.#opened(), Buffer.concat(hashes), first * hashSize);
  }

  /** The hash of each leaf, in order; zeros for one that is missing. @param count of the leaves */
  async *read(count: number): AsyncGenerator<Buffer> {
    const leaves = await this.#opened();
    for (let first = 0; first < count; first += hashesAtOnce) {
      const buffer = Buffer.alloc(Math.min(hashesAtOnce, count - first) * hashSize);
      await readInto(leaves, buffer, first * hashSize);
      for (let at = 0; at < buffer.length; at += hashSize) yield buffer.subarray(at, at + hashSize);
    }
  }

  /** Reads the bytes that an earlier process wrote, and adds the leaves that still are what their hash says. */
  async compare(part: FileHandle, leaves: LeafMap): Promise<void> {
    const leaf = Buffer.allocUnsafe(leafSize);
    let index = 0;
    for await (const hash of this.read(leaves.count)) {
      const bytes = leaf.subarray(0, leaves.lengthOf(index));
      const isThere = !hash.equals(noHash) && (await readInto(part, bytes, index * leafSize)) === bytes.length;
      if (isThere && leafHash(bytes).equals(hash)) leaves.add(index);
      index += 1;
    }
  }

  /** Hands over the file that is open, if one is, to be synced and closed; a later write opens it anew. */
  letGo(): Promise<FileHandle> | null {
    const open = this.#open;
    this.#open = null;
    return open;
  }

  async remove(): Promise<void> {
    if (this.#mayExist) await removeLeftovers(this.#disk, [this.#files.offer, this.#files.leaves]);
  }

  #opened(): Promise<FileHandle> {
    this.#open ??= openOrCreate(this.#disk, this.#files.leaves).catch((thrown) => {
      this.#open = null;
      throw thrown;
    });
    return this.#open;
  }

  /** Takes the place of one that an upload left which is no more. */
  async #writeOffer(): Promise<void> {
    const { offer } = this.#files;
    const handle = await create(this.#disk, offer).catch(async (thrown) => {
      if (!hasCode(thrown, 'EEXIST')) throw thrown;
      await removeFile(this.#disk, offer);
      return create(this.#disk, offer);
    });
    try {
      await writeAll(handle, offerOf(this.#manifest), 0);
    } finally {
      await handle.close();
    }
  }
}
