import { formatByteSize } from '../../mesh/terms/byte-size.js';
import type { Clock } from '../../mesh/terms/clock.js';
import { Failure } from '../../mesh/terms/failure.js';
import type { Hostname } from '../../mesh/terms/hostname.js';

/** Bytes of disk that the smallest backup takes, with its manifest and the hashes of its leaves: a block each, and one more. */
const leastSpace = 16 * 1024;

/** Backups of one owner that may be arriving at the same time, begun and not finished. */
const mostOfOneOwner = 100;

/** Bytes for which a backup counts: its own, and not less than its files take on a disk. */
export function spaceOf(size: number): number {
  return Math.max(size, leastSpace);
}

/** Milliseconds. An upload that was broken off keeps no disk from others for longer. */
const longestSilence = 3_600_000;

/** The space that is promised to one upload, from before its first byte is sent. */
export class Promised {
  /** Bytes for which it counts against its owner's quota. */
  readonly bytes: number;
  readonly #clock: Clock;
  #onDisk: number;
  /** By the monotonic clock. */
  #heardOf: number;

  /** @param size of the backup, in bytes @param onDisk of these, those that are on the disk already */
  constructor(size: number, onDisk: number, clock: Clock) {
    this.bytes = spaceOf(size);
    this.#clock = clock;
    this.#onDisk = onDisk;
    this.#heardOf = clock.monotonic();
  }

  /** Bytes that are not on the disk yet. */
  get expected(): number {
    return Math.max(0, this.bytes - this.#onDisk);
  }

  /** Whether nothing was heard of it for an hour: then what it expects is promised to whoever asks. */
  get isSilent(): boolean {
    return this.#clock.monotonic() - this.#heardOf > longestSilence;
  }

  /** Says that so many more are on the disk now. */
  arrived(bytes: number): void {
    this.#onDisk += bytes;
    this.renew();
  }

  /** The owner goes on with it. */
  renew(): void {
    this.#heardOf = this.#clock.monotonic();
  }
}

/** The disk as it is now, in bytes. */
export interface DiskSpace {
  readonly free: number;
  /** What is to stay free. */
  readonly minimumFree: number;
  /** What others were promised and is not on the disk yet. */
  readonly promised: number;
}

/** @throws Failure `no-space` where the disk does not have so many bytes for a backup */
export function checkDisk(bytes: number, { free, minimumFree, promised }: DiskSpace): void {
  const missing = bytes + promised + minimumFree - free;
  if (missing <= 0) return;
  throw new Failure('no-space', `the disk has ${formatByteSize(missing)} too little free for this backup`, {
    hint: 'Free some disk on this server; `limits.minimum_free` says how much always stays free.',
    retryable: true,
  });
}

/**
 * Why an owner may not store so many more bytes beside what it was promised for backups that are not finished; null when it may.
 * @param limits.quota bytes that it may store; 0 means no limit
 * @param limits.used bytes for which its backups count that are held
 */
export function overLimit(
  owner: Hostname,
  bytes: number,
  promised: readonly Promised[],
  limits: { readonly quota: number; readonly used: number },
): Failure | null {
  const { quota, used } = limits;
  const missing = promised.reduce((sum, other) => sum + other.bytes, used + bytes) - quota;
  if (quota > 0 && missing > 0) {
    return new Failure(
      'no-space',
      `the quota of ${owner} is ${formatByteSize(quota)}: ${formatByteSize(missing)} too little for this backup`,
      { hint: `Raise the quota of ${owner} on this server, or wait until its retention removes older backups.` },
    );
  }
  if (promised.length < mostOfOneOwner) return null;
  const what = `${owner} has ${mostOfOneOwner} unfinished backups here: finish some of them first`;
  return new Failure('failed', what, { retryable: true });
}
