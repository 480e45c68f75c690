import type { Bytes } from '../../../mesh/terms/bytes.js';
import type { Clock } from '../../../mesh/terms/clock.js';

/** How fast bytes must come. */
export interface Pace {
  /** Milliseconds of waiting after which a stream is judged. */
  readonly window: number;
  /** Bytes that must have come by then. */
  readonly least: number;
}

/** A large chunk takes that long on the slowest of uplinks. */
const slowest: Pace = { window: 60_000, least: 64 * 1024 };

/**
 * Passes bytes on, and calls back whenever they come so slowly that waiting for them makes no sense. Time that whoever
 * takes them needs for itself does not count.
 */
export async function* watchRate(
  bytes: Bytes,
  clock: Clock,
  tooSlow: () => void,
  { window, least }: Pace = slowest,
): AsyncGenerator<Uint8Array> {
  let arrived = 0;
  let waitable = window;
  let since = clock.monotonic();
  const judge = (): void => {
    if (arrived < least) tooSlow();
    arrived = 0;
    waitable = window;
    since = clock.monotonic();
  };
  let cancel = clock.after(waitable, judge);
  try {
    for await (const chunk of bytes) {
      cancel();
      waitable -= clock.monotonic() - since;
      arrived += chunk.length;
      if (waitable <= 0) judge();
      yield chunk;
      since = clock.monotonic();
      cancel = clock.after(waitable, judge);
    }
  } finally {
    cancel();
  }
}
