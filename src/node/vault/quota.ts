import { formatByteSize } from '../../mesh/terms/byte-size.js';
import type { Clock } from '../../mesh/terms/clock.js';
import { Failure } from '../../mesh/terms/failure.js';
import type { Hostname } from '../../mesh/terms/hostname.js';
import type { Disk } from './disk.js';

/** Bytes of disk that the smallest backup takes, with its manifest and the hashes of its leaves: a block each, and one more. */
const leastSpace = 16 * 1024;

/** Bytes for which a backup counts: its own, and not less than its files take on a disk. */
export function spaceOf(size: number): number {
  return Math.max(size, leastSpace);
}

/** Space that is promised to one upload. */
export interface Reservation {
  /** Says that this many more bytes are on the disk now. They still count for the owner, but no longer as free space. */
  arrived(bytes: number): void;
  /**
   * Before the upload goes on. A promise of which nothing was heard for an hour holds no disk back from others; it is made
   * again here.
   * @throws Failure `no-space` when others have taken the disk meanwhile
   */
  confirm(): Promise<void>;
  /** Gives the promise back: the backup is held now, or will never be. */
  release(): void;
}

/** Promises space before the first byte is sent, so that no two uploads count on the same bytes. */
export interface Quota {
  /**
   * @param size of the backup, in bytes
   * @param makeRoom is told how many bytes the owner has too little, and may release promises of the owner before it returns
   * @throws Failure `no-space` that says how much is missing
   */
  reserve(owner: Hostname, size: number, makeRoom: (missing: number) => void): Promise<Reservation>;
  /** For an upload that was promised its space before this node started: nothing is asked again. */
  renew(owner: Hostname, size: number): Reservation;
}

export interface QuotaOptions {
  /** A folder of the file system in question. */
  readonly folder: string;
  readonly disk: Disk;
  readonly clock: Clock;
  /** Bytes for which the owner's backups count that are held. */
  used(owner: Hostname): number;
  /** Bytes that the owner may store; 0 means no limit. */
  quotaOf(owner: Hostname): number;
  /** Bytes of disk that stay free. */
  minimumFree(): number;
}

interface Promised {
  readonly owner: Hostname;
  readonly bytes: number;
  /** Of `bytes`, those not on the disk yet. */
  expected: number;
  /** When it was made or confirmed, or bytes arrived, by the monotonic clock. */
  heardOf: number;
}

/** Milliseconds. An upload that was broken off blocks nobody for longer. */
const longestSilence = 3_600_000;

export function openQuota(options: QuotaOptions): Quota {
  const { clock } = options;
  const promises = new Set<Promised>();
  const isSilent = ({ heardOf }: Promised): boolean => clock.monotonic() - heardOf > longestSilence;

  function renew(owner: Hostname, size: number): Reservation {
    const bytes = spaceOf(size);
    const promised = { owner, bytes, expected: bytes, heardOf: clock.monotonic() };
    promises.add(promised);
    return {
      arrived(more) {
        promised.expected = Math.max(0, promised.expected - more);
        promised.heardOf = clock.monotonic();
      },
      async confirm() {
        if (isSilent(promised)) checkDisk(await freeBytes(), promised.expected);
        promised.heardOf = clock.monotonic();
      },
      release() {
        promises.delete(promised);
      },
    };
  }

  async function freeBytes(): Promise<number> {
    const { bavail, bsize } = await options.disk.statfs(options.folder);
    return bavail * bsize;
  }

  function checkDisk(free: number, bytes: number): void {
    const expected = [...promises].reduce((sum, promised) => sum + (isSilent(promised) ? 0 : promised.expected), 0);
    const missing = bytes + expected + options.minimumFree() - free;
    if (missing <= 0) return;
    throw new Failure('no-space', `the disk has ${formatByteSize(missing)} too little free for this backup`, {
      hint: 'Free some disk on this server; `limits.minimum_free` says how much always stays free.',
      retryable: true,
    });
  }

  /** Bytes that the owner has too little for so many more. */
  function missingOf(owner: Hostname, bytes: number): number {
    const quota = options.quotaOf(owner);
    const reserved = [...promises].reduce((sum, promised) => sum + (promised.owner === owner ? promised.bytes : 0), 0);
    return quota === 0 ? 0 : Math.max(0, options.used(owner) + reserved + bytes - quota);
  }

  function checkQuota(owner: Hostname, bytes: number): void {
    const missing = missingOf(owner, bytes);
    if (missing === 0) return;
    const quota = options.quotaOf(owner);
    throw new Failure(
      'no-space',
      `the quota of ${owner} is ${formatByteSize(quota)}: ${formatByteSize(missing)} too little for this backup`,
      { hint: `Raise the quota of ${owner} on this server, or wait until its retention removes older backups.` },
    );
  }

  return {
    renew,
    async reserve(owner, size, makeRoom) {
      const bytes = spaceOf(size);
      const free = await freeBytes();
      // From here to the promise nothing waits: two offers never see the same free bytes.
      // Nothing makes room where the disk refuses the backup all the same.
      checkDisk(free, bytes);
      if (missingOf(owner, bytes) > 0) makeRoom(missingOf(owner, bytes));
      checkQuota(owner, bytes);
      return renew(owner, size);
    },
  };
}
