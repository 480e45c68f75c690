import { join } from 'node:path';
import type { Identity } from '../../mesh/identity/identity.js';
import type { VerifiedManifest } from '../../mesh/manifest/manifest.js';
import type { Clock } from '../../mesh/terms/clock.js';
import { Failure } from '../../mesh/terms/failure.js';
import type { Hostname } from '../../mesh/terms/hostname.js';
import type { Log } from '../../mesh/terms/log.js';
import { type Disk, diskFailure, isUnreadable, removeTold, sizeOf } from './disk.js';
import { givingWayTo } from './giving-way.js';
import { longestOffer } from './held-entry.js';
import type { Inventory } from './inventory.js';
import { digestOfOffer, isTemporary, type Layout, uploadOf } from './layout.js';
import { checkDisk, spaceOf } from './quota.js';
import { Upload } from './upload.js';
import { offerOf, readOffer } from './upload-record.js';

/** How long an upload is kept for its owner to go on with, in milliseconds. */
const patience = 7 * 86_400_000;

/** Bytes of a block, as `lstat` counts what a file takes on the disk. */
const blockSize = 512;

export interface UploadsOptions {
  readonly layout: Layout;
  readonly disk: Disk;
  readonly clock: Clock;
  readonly log: Log;
  readonly inventory: Pick<Inventory, 'find' | 'used'>;
  identityOf(host: Hostname): Identity | null;
  /** Bytes that an owner may store; 0 means no limit. */
  quotaOf(owner: Hostname): number;
  /** Bytes of disk that an owner's backups leave free. */
  floorOf(owner: Hostname): number;
}

/**
 * The uploads that are under way, in this process or since an earlier one. Each of them is the promise of its space, so that
 * no two count on the same bytes.
 */
export class Uploads {
  readonly #options: UploadsOptions;
  /** By the digest of the manifest, in hexadecimal. */
  readonly #uploads = new Map<string, Upload>();

  private constructor(options: UploadsOptions) {
    this.#options = options;
  }

  /** Finds what an earlier process left. */
  static async open(options: UploadsOptions): Promise<Uploads> {
    const uploads = new Uploads(options);
    for (const file of await options.disk.readdir(options.layout.incoming)) {
      const digest = digestOfOffer(file);
      if (digest !== null) await uploads.#resume(digest);
    }
    return uploads;
  }

  /**
   * The upload of the manifest with this digest; what an earlier process left of it is read again first. One of which the
   * file has gone, as when a person made room on the disk, is none any more.
   */
  async find(digest: Uint8Array): Promise<Upload | null> {
    const upload = this.#uploads.get(keyOf(digest));
    if (upload === undefined) return null;
    try {
      await upload.ready();
      if (await this.#isThere(upload)) return upload;
    } catch (thrown) {
      // Too many open files, for one, say nothing of what has arrived: it is looked at again when it is asked for again.
      if (isUnreadable(thrown) || upload.ended !== null) await this.end(upload);
      throw diskFailure(thrown, `what had arrived of ${upload.manifest.facts.name}`);
    }
    this.#options.log.warn('upload vanished', { owner: upload.owner, backup: upload.manifest.facts.name });
    await this.end(upload);
    return null;
  }

  /**
   * The upload of a manifest, which begins or goes on: either way its space is promised. Calls for one manifest must not overlap.
   * @throws Failure `no-space` that says how much is missing; `failed` where too many are unfinished
   */
  async take(manifest: VerifiedManifest): Promise<Upload> {
    const begun = await this.find(manifest.digest);
    if (begun === null) return this.#begin(manifest);
    const { promised } = begun;
    if (promised.isSilent) this.#checkDisk(begun.owner, promised.expected, await this.#free());
    promised.renew();
    return begun;
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
    if (upload?.idle && upload.empty) await this.end(upload);
  }

  /** The same as {@link tidy}, with the temporaries of an earlier process: nothing of this one uses any yet. */
  tidyAtStart(): Promise<void> {
    return this.#tidy(() => true);
  }

  /** Removes uploads to which nothing was written for 7 days, and files of such as are no more. */
  tidy(): Promise<void> {
    return this.#tidy((file) => !isTemporary(file));
  }

  /** @param mayGo whether a file that is of no upload belongs to nothing else */
  async #tidy(mayGo: (file: string) => boolean): Promise<void> {
    const { layout, disk, clock, log } = this.#options;
    for (const upload of this.#uploads.values()) {
      if (!upload.idle || clock.now() - upload.touched < patience) continue;
      log.warn('upload expired', { owner: upload.owner, backup: upload.manifest.facts.name });
      await this.end(upload);
    }
    for (const file of await disk.readdir(layout.incoming)) {
      if (this.#uploads.has(uploadOf(file)) || !mayGo(file)) continue;
      await removeTold(disk, join(layout.incoming, file), log);
    }
  }

  async #begin(manifest: VerifiedManifest): Promise<Upload> {
    const { layout, disk, clock, inventory, quotaOf } = this.#options;
    const { owner } = manifest.name;
    if (offerOf(manifest).length > longestOffer) {
      throw new Failure('invalid', `the manifest of ${manifest.facts.name} is too long`);
    }
    const free = await this.#free();
    // From here to the promise nothing waits: two offers never see the same free bytes.
    // Nothing makes room where the disk refuses the backup all the same.
    this.#checkDisk(owner, spaceOf(manifest.facts.size), free);
    const limits = { quota: quotaOf(owner), used: inventory.used(owner), now: clock.now() };
    const leaving = givingWayTo(manifest, this.#unfinishedOf(owner), limits);
    for (const { manifest } of leaving) this.#uploads.delete(keyOf(manifest.digest));
    const upload = new Upload({ manifest, files: layout.upload(manifest.digest), disk, clock, begun: null });
    this.#uploads.set(keyOf(manifest.digest), upload);
    await Promise.all(leaving.map((left) => left.end()));
    return upload;
  }

  /** @throws Failure `no-space` where the disk does not have so many bytes beside what others were promised */
  #checkDisk(owner: Hostname, bytes: number, free: number): void {
    const promised = [...this.#uploads.values()].reduce((sum, { promised }) => {
      return sum + (promised.isSilent ? 0 : promised.expected);
    }, 0);
    checkDisk(bytes, { free, minimumFree: this.#options.floorOf(owner), promised });
  }

  async #free(): Promise<number> {
    const { disk, layout } = this.#options;
    const { bavail, bsize } = await disk.statfs(layout.data);
    return bavail * bsize;
  }

  /** Whether the file with what has arrived is there: a person may have removed it while nobody used it. */
  async #isThere({ empty, files, idle }: Upload): Promise<boolean> {
    return empty || !idle || (await sizeOf(this.#options.disk, files.part)) !== null;
  }

  /** One that was just committed counts among what is held. */
  #unfinishedOf(owner: Hostname): Upload[] {
    const isHeld = ({ manifest: { digest, facts } }: Upload): boolean =>
      this.#options.inventory.find(facts.name)?.digest.equals(digest) ?? false;
    return [...this.#uploads.values()].filter((upload) => upload.owner === owner && !isHeld(upload));
  }

  /** Takes up an upload that an earlier process left, when there is something to go on with. */
  async #resume(digest: Buffer): Promise<void> {
    const { layout, disk, clock, log, inventory, identityOf } = this.#options;
    const files = layout.upload(digest);
    const manifest = await readOffer(disk, files.offer, identityOf).catch((thrown) => {
      log.warn('upload cannot be resumed', { file: files.offer, reason: Failure.from(thrown).message });
      return null;
    });
    if (!manifest?.digest.equals(digest)) return;
    // A process may be killed before it removes what it committed from.
    if (inventory.find(manifest.facts.name) !== null) return;
    const part = await disk.lstat(files.part).catch(() => null);
    const { mtimeMs } = part ?? (await disk.lstat(files.offer));
    // Also what turns out to be no whole leaf has its place on the disk, and is written over.
    const begun = { touched: Math.min(clock.now(), mtimeMs), onDisk: (part?.blocks ?? 0) * blockSize };
    this.#uploads.set(keyOf(digest), new Upload({ manifest, files, disk, clock, begun }));
  }
}

function keyOf(digest: Uint8Array): string {
  return Buffer.from(digest).toString('hex');
}
