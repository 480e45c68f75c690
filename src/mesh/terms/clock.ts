import { setMaxListeners } from 'node:events';

/**
 * Time as a parameter. This is the only file that reads the machine's clock or starts a timer, so a night runs under test
 * without waiting for one.
 */
export interface Clock {
  /** Milliseconds since 1970. May jump, as the machine's clock does. */
  now(): number;
  /** Milliseconds from an arbitrary start; never goes back. For durations and rates. */
  monotonic(): number;
  /** Calls back once, after `ms` milliseconds; returns what cancels it. The timer does not keep the process alive. */
  after(ms: number, callback: () => void): () => void;
  /**
   * Resolves after `ms` milliseconds; rejects with an AbortError when the signal aborts first. Somebody waits for it, so until
   * then it keeps the process alive.
   */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

/** Timers of Node fire at once beyond this many milliseconds (2^31 - 1): longer waits are taken in parts. */
const longestTimer = 2 ** 31 - 1;

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  after: (ms, callback) => inParts(ms, callback, (part, then) => setTimeout(then, part).unref()),
  sleep(ms, signal) {
    return new Promise((resolve, reject) => {
      const abort = (): void => {
        cancel();
        reject(abortError());
      };
      if (signal?.aborted) {
        reject(abortError());
        return;
      }
      const wake = (): void => {
        signal?.removeEventListener('abort', abort);
        resolve();
      };
      const cancel = inParts(ms, wake, (part, then) => setTimeout(then, part));
      if (signal === undefined) return;
      // Any number may sleep for one signal, and Node.js warns of more than ten.
      setMaxListeners(0, signal);
      signal.addEventListener('abort', abort, { once: true });
    });
  },
};

/** @param start starts a timer of so many milliseconds @returns what cancels the wait */
function inParts(
  ms: number,
  callback: () => void,
  start: (part: number, then: () => void) => NodeJS.Timeout,
): () => void {
  let timer: NodeJS.Timeout;
  const arm = (left: number): void => {
    const part = Math.min(left, longestTimer);
    timer = start(part, () => (left > part ? arm(left - part) : callback()));
  };
  arm(Math.max(0, ms));
  return () => clearTimeout(timer);
}

function abortError(): DOMException {
  return new DOMException('interrupted', 'AbortError');
}
