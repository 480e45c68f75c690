import type { Clock } from '../../../mesh/terms/clock.js';
import { Failure } from '../../../mesh/terms/failure.js';

/** Milliseconds. */
const first = 1000;
const longest = 15_000;

/**
 * Waits before a holder is asked again: not at all after its link broke once, which happens; after that as before any other
 * attempt.
 * @param breaks how often in a row it broke
 * @throws Failure `interrupted`
 */
export async function pauseAfterBreak(breaks: number, clock: Clock, signal?: AbortSignal): Promise<void> {
  if (breaks > 1) await pauseBefore(breaks - 2, clock, signal);
}

/**
 * Waits a second before another attempt, and twice as long before each that follows.
 * @param inVain how many of them brought nothing, in a row
 * @throws Failure `interrupted`
 */
export async function pauseBefore(inVain: number, clock: Clock, signal?: AbortSignal): Promise<void> {
  try {
    await clock.sleep(Math.min(first * 2 ** inVain, longest), signal);
  } catch (thrown) {
    throw Failure.from(thrown);
  }
}
