import { join } from 'node:path';
import { Manifest, SignedManifest } from '../../mesh/generated/anemone/backup/v1/backup.js';
import type { Identity } from '../../mesh/identity/identity.js';
import { type VerifiedManifest, verifyManifest } from '../../mesh/manifest/manifest.js';
import type { Clock } from '../../mesh/terms/clock.js';
import { Failure } from '../../mesh/terms/failure.js';
import { type Hostname, parseHostname } from '../../mesh/terms/hostname.js';
import type { Log } from '../../mesh/terms/log.js';
import { type Disk, diskFailure, isUnreadable, onDisk, readSmall, removeLeftovers } from './disk.js';
import { longestOffer } from './held-entry.js';
import { digestOfOffer, type Layout } from './layout.js';
import { type Quota, spaceOf } from './quota.js';
import type { Temporaries } from './temporaries.js';
import { Upload } from './upload.js';
import { offerOf } from './upload-record.js';

/** How long an upload is kept for its owner to go on with, in milliseconds. */
const patience = 7 * 86_400_000;

/** An owner that goes on with an upload tries more often than this, in milliseconds: one left for so long gives way to a newer. */
const longestPause = 86_400_000;

/** Bytes of a block, as `lstat` counts what a file takes on the disk. */
const blockSize = 512;

/** Backups of one owner that may be arriving at the same time, begun and not finished. */
const mostOfOneOwner = 100;

export interface UploadsOptions {
  readonly layout: Layout;
  readonly disk: Disk;
  readonly clock: Clock;
  readonly log: Log;
  readonly quota: Quota;
  readonly temporaries: Temporaries;
  identityOf(host: Hostname): Identity | null;
  /** Whether a backup of this name is held: a process may be killed before it removes what it committed from. */
  isHeld(name: string): boolean;
}

/** The uploads that are under way, in this process or since an earlier one. */
export class Uploads {
  readonly #options: UploadsOptions;
  /** By the digest of the manifest, in hexadecimal. */
  readonly #uploads = new Map<string, Upload>();
  /** What an earlier process left and nobody has asked for yet; with the reading that is under way. */
  readonly #unread = new Map<Upload, Promise<void> | null>();

  private constructor(options: UploadsOptions) {
    this.#options = options;
  }

  /** Finds what an earlier process left; what cannot be gone on with is removed. */
  static async open(options: UploadsOptions): Promise<Uploads> {
    const uploads = new Uploads(options);
    for (const file of await options.disk.readdir(options.layout.incoming)) {
      const digest = digestOfOffer(file);
      if (digest !== null) await uploads.#resume(digest);
    }
    await uploads.tidy();
    return uploads;
  }

  /**
   * The upload of the manifest with this digest; what an earlier process left of it is read again first. One of which the
   * file has gone, as when a person made room on the disk, is none any more.
   */
  async find(digest: Uint8Array): Promise<Upload | null> {
    const upload = this.#uploads.get(keyOf(digest));
    if (upload === undefined) return null;
    const reading = this.#unread.get(upload);
    if (reading === undefined) {
      if (await onDisk(upload.manifest.facts.name, () => upload.isThere())) return upload;
      this.#options.log.warn('upload vanished', { owner: upload.owner, backup: upload.manifest.facts.name });
      await this.end(upload);
      return null;
    }
    try {
      const started = reading ?? upload.examine();
      this.#unread.set(upload, started);
      await started;
      this.#unread.delete(upload);
      return upload;
    } catch (thrown) {
      // Too many open files, for one, say nothing of what has arrived: it is read again when it is asked for again.
      if (isUnreadable(thrown)) await this.end(upload);
      else if (this.#unread.has(upload)) this.#unread.set(upload, null);
      throw diskFailure(thrown, `what had arrived of ${upload.manifest.facts.name}`);
    }
  }

  /** @throws Failure `no-space` */
  async begin(owner: Hostname, manifest: VerifiedManifest): Promise<Upload> {
    const { layout, disk, clock, quota } = this.#options;
    if (offerOf(manifest).length > longestOffer) {
      throw new Failure('invalid', `the manifest of ${manifest.facts.name} is too long`);
    }
    const endings: Promise<void>[] = [];
    const reservation = await quota.reserve(owner, manifest.facts.size, (missing) => {
      endings.push(...this.#leftBefore(owner, manifest, missing).map((left) => this.end(left)));
    });
    await Promise.all(endings);
    if ([...this.#uploads.values()].filter((other) => other.owner === owner).length >= mostOfOneOwner) {
      reservation.release();
      throw new Failure('failed', `${owner} has ${mostOfOneOwner} unfinished backups here: finish some of them first`, {
        retryable: true,
      });
    }
    const files = layout.upload(manifest.digest);
    const touched = clock.now();
    const upload = new Upload({ owner, manifest, files, disk, clock, reservation, touched, resumed: false });
    this.#uploads.set(keyOf(manifest.digest), upload);
    return upload;
  }

  /**
   * Ends one use of an upload. One whose bytes cannot be made durable is given up: what is on the disk is unknown.
   * @throws what the disk threw
   */
  async leave(upload: Upload): Promise<void> {
    try {
      await upload.leave();
    } catch (thrown) {
      await this.end(upload);
      throw thrown;
    }
  }

  /** @param why what is told to those who still bring something */
  async end(upload: Upload, why?: Failure): Promise<void> {
    const key = keyOf(upload.manifest.digest);
    if (this.#uploads.get(key) === upload) this.#uploads.delete(key);
    this.#unread.delete(upload);
    await upload.end(why);
  }

  /** Ends the upload of the manifest with this digest, if there is one. */
  async forget(digest: Uint8Array): Promise<void> {
    const upload = this.#uploads.get(keyOf(digest));
    if (upload !== undefined) await this.end(upload);
  }

  /** Ends the upload of the manifest with this digest where not one leaf has come, and none is on its way. */
  async withdraw(digest: Uint8Array): Promise<void> {
    const upload = this.#uploads.get(keyOf(digest));
    if (upload?.idle && upload.empty && !this.#unread.has(upload)) await this.end(upload);
  }

  /** Removes uploads to which nothing was written for 7 days, and temporaries that belong to nothing. */
  async tidy(): Promise<void> {
    const { layout, disk, clock, log, temporaries } = this.#options;
    for (const upload of this.#uploads.values()) {
      if (!upload.idle || clock.now() - upload.touched < patience) continue;
      log.warn('upload expired', { owner: upload.owner, backup: upload.manifest.facts.name });
      await this.end(upload);
    }
    const found = await disk.readdir(layout.incoming);
    const inUse = new Set([...this.#uploads.values()].flatMap(({ files }) => Object.values(files)));
    for (const path of found.map((file) => join(layout.incoming, file))) {
      if (!temporaries.inUse(path) && !inUse.has(path)) await removeLeftovers(disk, [path]);
    }
  }

  /**
   * The oldest uploads of the manifest's set that are older than it, and that the owner has not gone on with for a day; as many as
   * have so many bytes, or none.
   */
  #leftBefore(owner: Hostname, { facts: { set, sequence } }: VerifiedManifest, bytes: number): readonly Upload[] {
    const now = this.#options.clock.now();
    const left = [...this.#uploads.values()]
      .filter((other) => other.owner === owner && other.manifest.facts.set === set)
      .filter((other) => other.manifest.facts.sequence < sequence && other.idle && now - other.touched >= longestPause)
      .sort((a, b) => a.manifest.facts.sequence - b.manifest.facts.sequence);
    let missing = bytes;
    const enough = left.findIndex(({ manifest }) => {
      missing -= spaceOf(manifest.facts.size);
      return missing <= 0;
    });
    return left.slice(0, enough + 1);
  }

  /** Takes up an upload that an earlier process left, when there is something to go on with. */
  async #resume(digest: Buffer): Promise<void> {
    const { layout, disk, clock, quota } = this.#options;
    const files = layout.upload(digest);
    const manifest = await this.#readOffer(files.offer, digest);
    if (manifest === null || this.#options.isHeld(manifest.facts.name)) return;
    const owner = manifest.name.owner;
    const part = await disk.lstat(files.part).catch(() => null);
    const { mtimeMs } = part ?? (await disk.lstat(files.offer));
    const reservation = quota.renew(owner, manifest.facts.size);
    // Also what turns out to be no whole leaf has its place on the disk, and is written over.
    reservation.arrived((part?.blocks ?? 0) * blockSize);
    const touched = Math.min(clock.now(), mtimeMs);
    const upload = new Upload({ owner, manifest, files, disk, clock, reservation, touched, resumed: true });
    this.#uploads.set(keyOf(digest), upload);
    this.#unread.set(upload, null);
  }

  /** Null for an offer that is damaged, or not of a peer. */
  async #readOffer(path: string, digest: Buffer): Promise<VerifiedManifest | null> {
    try {
      const bytes = await readSmall(this.#options.disk, path, longestOffer);
      if (bytes === null) return null;
      const signed = SignedManifest.decode(bytes);
      const identity = this.#options.identityOf(parseHostname(Manifest.decode(signed.manifest).owner));
      if (identity === null) return null;
      const manifest = verifyManifest(signed, identity);
      return manifest.digest.equals(digest) ? manifest : null;
    } catch (thrown) {
      this.#options.log.warn('upload cannot be resumed', { file: path, reason: Failure.from(thrown).message });
      return null;
    }
  }
}

function keyOf(digest: Uint8Array): string {
  return Buffer.from(digest).toString('hex');
}
