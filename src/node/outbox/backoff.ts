import { createHash } from 'node:crypto';

/** The wait after the first failure, in milliseconds. */
const shortest = 30_000;
/** The longest wait, in milliseconds. */
export const longestWait = 15 * 60_000;

/**
 * How long to wait after so many failures in a row, in milliseconds: 30 seconds, doubling up to 15 minutes, less up to a
 * fifth, so that servers that failed together do not come back together.
 * @param failures 1 or more
 * @param seed who waits for whom; the same seed and count give the same wait
 */
export function backoff(failures: number, seed: string): number {
  const full = Math.min(longestWait, shortest * 2 ** Math.max(0, failures - 1));
  const draw = createHash('sha256').update(`${seed} ${failures}`).digest().readUInt32BE(0) / 2 ** 32;
  return Math.round(full * (1 - draw / 5));
}
