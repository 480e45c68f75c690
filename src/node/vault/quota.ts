import { formatByteSize } from '../../mesh/terms/byte-size.js';
import { Failure } from '../../mesh/terms/failure.js';
import type { Hostname } from '../../mesh/terms/hostname.js';
import type { Disk } from './disk.js';

/** Space that is promised to one upload. */
export interface Reservation {
  /** Says that this many more bytes are on the disk now. They still count for the owner, but no longer as free space. */
  arrived(bytes: number): void;
  /** Gives the promise back: the backup is held now, or will never be. */
  release(): void;
}

/** Promises space before the first byte is sent, so that no two uploads count on the same bytes. */
export interface Quota {
  /** @throws Failure `no-space` that says how much is missing */
  reserve(owner: Hostname, bytes: number): Promise<Reservation>;
  /** For an upload that was promised its space before this node started: nothing is asked again. */
  renew(owner: Hostname, bytes: number): Reservation;
}

export interface QuotaOptions {
  /** A folder of the file system in question. */
  readonly folder: string;
  readonly disk: Disk;
  /** Bytes of the owner's backups that are held. */
  used(owner: Hostname): number;
  /** Bytes that the owner may store; 0 means no limit. */
  quotaOf(owner: Hostname): number;
  /** Bytes of disk that stay free. */
  readonly minimumFree: number;
}

interface Promised {
  readonly owner: Hostname;
  readonly bytes: number;
  /** Of `bytes`, those not on the disk yet. */
  expected: number;
}

export function openQuota(options: QuotaOptions): Quota {
  const promises = new Set<Promised>();

  function renew(owner: Hostname, bytes: number): Reservation {
    const promised = { owner, bytes, expected: bytes };
    promises.add(promised);
    return {
      arrived(more) {
        promised.expected = Math.max(0, promised.expected - more);
      },
      release() {
        promises.delete(promised);
      },
    };
  }

  async function reserve(owner: Hostname, bytes: number): Promise<Reservation> {
    const { bavail, bsize } = await options.disk.statfs(options.folder);
    // From here to the promise nothing waits: two offers never see the same free bytes.
    let reserved = 0;
    let expected = 0;
    for (const promised of promises) {
      expected += promised.expected;
      if (promised.owner === owner) reserved += promised.bytes;
    }
    const quota = options.quotaOf(owner);
    const overQuota = options.used(owner) + reserved + bytes - quota;
    if (quota > 0 && overQuota > 0) {
      throw new Failure(
        'no-space',
        `the quota of ${owner} is ${formatByteSize(quota)}: ${formatByteSize(overQuota)} too little for this backup`,
        { hint: `Raise the quota of ${owner} on this server, or wait until its retention removes older backups.` },
      );
    }
    const overDisk = bytes + expected + options.minimumFree - bavail * bsize;
    if (overDisk > 0) {
      throw new Failure('no-space', `the disk has ${formatByteSize(overDisk)} too little free for this backup`, {
        hint: 'Free some disk on this server; `limits.minimum_free` says how much always stays free.',
        retryable: true,
      });
    }
    return renew(owner, bytes);
  }

  return { reserve, renew };
}
