import type { Clock } from '../../../mesh/terms/clock.js';
import { Failure } from '../../../mesh/terms/failure.js';

/** Milliseconds. */
const first = 1000;
const longest = 15_000;

/**
 * Waits before a holder is asked again: not at all after its link broke once, which happens; a second after the second time
 * in a row, and then twice as long each time.
 * @param breaks how often in a row it broke
 * @throws Failure `interrupted`
 */
export async function pauseAfter(breaks: number, clock: Clock, signal?: AbortSignal): Promise<void> {
  if (breaks < 2) return;
  try {
    await clock.sleep(Math.min(first * 2 ** (breaks - 2), longest), signal);
  } catch (thrown) {
    throw Failure.from(thrown);
  }
}
