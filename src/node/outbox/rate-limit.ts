import type { Clock } from '../../mesh/terms/clock.js';
import { openPlaces, type Places } from './places.js';

/** A limit that all uploads share. */
export interface RateLimit {
  /** Waits for a place to send a range, before its call is begun. */
  readonly place: Places['take'];
  /**
   * Resolves when so many bytes may be sent. Peers that wait are served in turn, one request each, whoever asks for how
   * many connections. A piece larger than what the limit allows in a second is let through, and paid for by a longer wait
   * after it.
   * @throws the signal's reason when it aborts first
   */
  take(peer: string, bytes: number, signal: AbortSignal): Promise<void>;
  /** Bytes that one request should be for: more would let the others wait too long. */
  piece(): number;
  /** Looks again at once what is allowed. Without it, a change is noticed within a second. */
  refresh(): void;
}

interface Request {
  readonly bytes: number;
  grant(): void;
}

/** What may be saved up while nobody sends, in seconds of the limit. */
const burst = 0.25;
/** Milliseconds after which those who wait look again: the limit changes with the hour, and with the configuration. */
const lookAgain = 1000;
/** Bytes; a peer gives an upload up that brings less than this in a minute. */
const smallPiece = 64 * 1024;

/** @param allowed the limit of this moment in bytes a second; 0 for no limit */
export function rateLimit(clock: Clock, allowed: () => number): RateLimit {
  /** Requests that wait, by peer; the first peer is served next, and then becomes the last. */
  const queues = new Map<string, Request[]>();
  const places = openPlaces(clock, allowed);
  let rate = allowed();
  /** Bytes that may be sent now; below zero, they were sent ahead of time. */
  let allowance = rate * burst;
  let counted = clock.monotonic();
  let cancelTimer = (): void => {};

  const refill = (): void => {
    const now = clock.monotonic();
    const earned = allowance + ((now - counted) / 1000) * rate;
    rate = allowed();
    // What was sent ahead under a low limit is not paid for under none.
    allowance = rate === 0 ? 0 : Math.min(rate * burst, earned);
    counted = now;
  };

  const serve = (): void => {
    cancelTimer();
    refill();
    for (let next = takeFirst(queues, rate === 0 || allowance > 0); next !== undefined; ) {
      if (rate > 0) allowance -= next.bytes;
      next.grant();
      next = takeFirst(queues, rate === 0 || allowance > 0);
    }
    if (queues.size === 0) return;
    const wait = Math.max(1, Math.ceil((-allowance / rate) * 1000));
    cancelTimer = clock.after(Math.min(lookAgain, wait), serve);
  };

  return {
    place: places.take,
    take(peer, bytes, signal) {
      return new Promise((resolve, reject) => {
        const request: Request = {
          bytes,
          grant() {
            signal.removeEventListener('abort', abort);
            resolve();
          },
        };
        const abort = (): void => {
          remove(queues, peer, request);
          reject(signal.reason);
          serve();
        };
        if (signal.aborted) {
          reject(signal.reason);
          return;
        }
        signal.addEventListener('abort', abort, { once: true });
        queues.set(peer, [...(queues.get(peer) ?? []), request]);
        serve();
      });
    },
    piece: () => (allowed() === 0 ? Number.POSITIVE_INFINITY : smallPiece),
    refresh() {
      serve();
      places.refresh();
    },
  };
}

function takeFirst(queues: Map<string, Request[]>, allowed: boolean): Request | undefined {
  const [first] = queues;
  if (!allowed || first === undefined) return undefined;
  const [peer, [request, ...others]] = first;
  queues.delete(peer);
  if (others.length > 0) queues.set(peer, others);
  return request;
}

function remove(queues: Map<string, Request[]>, peer: string, request: Request): void {
  const others = queues.get(peer)?.filter((each) => each !== request) ?? [];
  if (others.length > 0) queues.set(peer, others);
  else queues.delete(peer);
}
