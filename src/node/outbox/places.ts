import type { Clock } from '../../mesh/terms/clock.js';

/** Leave to send one range to a peer. */
export interface Place {
  /** Aborts when the range is to end with what was sent of it: others wait for its place, or there are fewer now. */
  readonly over: AbortSignal;
  leave(): void;
}

/**
 * So many ranges are sent at a time that the limit carries each of them. A peer gives up what comes too slowly, and it would be
 * blamed for that; of a range that waits for its place it knows nothing.
 */
export interface Places {
  /**
   * Resolves when a range may be begun, in the order of the calls.
   * @throws the signal's reason when it aborts first
   */
  take(peer: string, signal: AbortSignal): Promise<Place>;
  /** Looks again at once what is allowed. Without it, a change is noticed within a second. */
  refresh(): void;
}

interface Range {
  readonly peer: string;
}

interface Begun extends Range {
  readonly since: number;
  readonly over: AbortController;
}

interface Waiting extends Range {
  begin(place: Place): void;
}

/** Bytes a second of each range at least: twice what a peer wants, which is 64 KiB in a minute. */
const leastShare = (2 * 64 * 1024) / 60;
/** Milliseconds after which a range gives its place to those who wait: a slow peer may need days for a large backup. */
const longestTurn = 60_000;
/** Milliseconds after which the limit is looked at again. */
const lookAgain = 1000;

/** @param allowed the limit of this moment in bytes a second, which peers share in equal parts; 0 for no limit */
export function openPlaces(clock: Clock, allowed: () => number): Places {
  /** The one that was begun first is the first of them. */
  const begun = new Set<Begun>();
  const waiting = new Set<Waiting>();
  let cancelTimer = (): void => {};

  const carries = (ranges: readonly Range[]): boolean => {
    const rate = allowed();
    if (rate === 0 || ranges.length <= 1) return true;
    const counts = new Map<string, number>();
    for (const { peer } of ranges) counts.set(peer, (counts.get(peer) ?? 0) + 1);
    return counts.size * Math.max(...counts.values()) * leastShare <= rate;
  };

  const begin = (next: Waiting): void => {
    const range: Begun = { peer: next.peer, since: clock.monotonic(), over: new AbortController() };
    waiting.delete(next);
    begun.add(range);
    next.begin({
      over: range.over.signal,
      leave() {
        begun.delete(range);
        look();
      },
    });
  };

  const look = (): void => {
    cancelTimer();
    const staying = [...begun].filter(({ over }) => !over.signal.aborted);
    while (!carries(staying)) staying.pop()?.over.abort();
    for (const next of waiting) {
      if (!carries([...begun, next])) break;
      begin(next);
    }
    const [oldest] = staying;
    // One at a time: those who wait may need no more places than that.
    const isNoneEnding = staying.length === begun.size;
    if (waiting.size > 0 && isNoneEnding && oldest !== undefined && clock.monotonic() - oldest.since >= longestTurn) {
      oldest.over.abort();
    }
    if (begun.size > 0) cancelTimer = clock.after(lookAgain, look);
  };

  return {
    take(peer, signal) {
      return new Promise((resolve, reject) => {
        const abort = (): void => {
          waiting.delete(range);
          reject(signal.reason);
          look();
        };
        const range: Waiting = {
          peer,
          begin(place) {
            signal.removeEventListener('abort', abort);
            resolve(place);
          },
        };
        if (signal.aborted) {
          reject(signal.reason);
          return;
        }
        signal.addEventListener('abort', abort, { once: true });
        waiting.add(range);
        look();
      });
    },
    refresh: look,
  };
}
