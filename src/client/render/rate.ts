import type { Clock } from '../../mesh/terms/clock.js';

/** Milliseconds over which a rate is smoothed: long enough for a calm number, short enough to show a stall. */
const window = 5000;

/** How fast something moves, smoothed. */
export interface Rate {
  /** Tells how far it is now. */
  reach(bytes: number): void;
  /** Bytes a second; 0 until two moments are known. */
  perSecond(): number;
}

/** An average that forgets: what happened `window` ago counts for a third of what happens now. */
export function measureRate(clock: Pick<Clock, 'monotonic'>): Rate {
  let last: { readonly bytes: number; readonly at: number } | undefined;
  let rate = 0;
  let weight = 0;
  return {
    reach(bytes) {
      const at = clock.monotonic();
      if (last === undefined || bytes < last.bytes) {
        last = { bytes, at };
        return;
      }
      const elapsed = at - last.at;
      if (elapsed < 50) return;
      const keep = Math.exp(-elapsed / window);
      rate = rate * keep + ((bytes - last.bytes) / elapsed) * 1000 * (1 - keep);
      weight = weight * keep + (1 - keep);
      last = { bytes, at };
    },
    perSecond: () => (weight === 0 ? 0 : rate / weight),
  };
}
