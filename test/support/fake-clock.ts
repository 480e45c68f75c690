import { setImmediate } from 'node:timers/promises';
import type { Clock } from '../../src/mesh/terms/clock.js';

interface Timer {
  readonly due: number;
  readonly callback: () => void;
}

/** A clock that moves only when a test says so. */
export class FakeClock implements Clock {
  #wall: number;
  #elapsed = 0;
  readonly #timers = new Set<Timer>();

  /** @param start what {@link now} says at first: an ISO 8601 time, or milliseconds since 1970 */
  constructor(start: string | number = '2026-11-23T01:00:00Z') {
    this.#wall = typeof start === 'number' ? start : Date.parse(start);
  }

  now(): number {
    return this.#wall;
  }

  monotonic(): number {
    return this.#elapsed;
  }

  after(ms: number, callback: () => void): () => void {
    const timer = { due: this.#elapsed + Math.max(0, ms), callback };
    this.#timers.add(timer);
    return () => void this.#timers.delete(timer);
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const abort = (): void => {
        cancel();
        reject(new DOMException('interrupted', 'AbortError'));
      };
      const cancel = this.after(ms, () => {
        signal?.removeEventListener('abort', abort);
        resolve();
      });
      if (signal?.aborted) abort();
      else signal?.addEventListener('abort', abort, { once: true });
    });
  }

  /** Passes time: runs what falls due within `ms` milliseconds, in order, and lets promises settle after each. */
  async advance(ms: number): Promise<void> {
    const end = this.#elapsed + ms;
    await settle();
    for (let next = this.#next(end); next !== undefined; next = this.#next(end)) {
      this.#timers.delete(next);
      this.#move(Math.max(0, next.due - this.#elapsed));
      next.callback();
      await settle();
    }
    this.#move(end - this.#elapsed);
  }

  /** Lets time pass, half a second after the other, until a piece of work has ended. */
  async runUntil<T>(work: Promise<T>): Promise<T> {
    let done = false;
    const end = (): void => {
      done = true;
    };
    work.then(end, end);
    while (!done) await this.advance(500);
    return work;
  }

  /** Sets the machine's clock forward or back, as an administrator or NTP does: no timer notices. */
  jump(ms: number): void {
    this.#wall += ms;
  }

  /** How many timers wait; 0 is what a test that stopped everything expects. */
  pending(): number {
    return this.#timers.size;
  }

  #move(ms: number): void {
    this.#elapsed += ms;
    this.#wall += ms;
  }

  /** The first timer due by `end`; of several due at once, the one that was set first. */
  #next(end: number): Timer | undefined {
    let first: Timer | undefined;
    for (const timer of this.#timers) {
      if (timer.due <= end && (first === undefined || timer.due < first.due)) first = timer;
    }
    return first;
  }
}

/** Lets promises, and what they start in turn, settle. Real files may need longer: wait for their own promise. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 5; turn += 1) await setImmediate();
}
