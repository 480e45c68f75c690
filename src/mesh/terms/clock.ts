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
  /** Resolves after `ms` milliseconds; rejects with an AbortError when the signal aborts first. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

/** Timers of Node fire at once beyond this many milliseconds (2^31 - 1): longer waits are taken in parts. */
const longestTimer = 2 ** 31 - 1;

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  after(ms, callback) {
    let timer: NodeJS.Timeout;
    const arm = (left: number): void => {
      const part = Math.min(left, longestTimer);
      timer = setTimeout(() => (left > part ? arm(left - part) : callback()), part);
      timer.unref();
    };
    arm(Math.max(0, ms));
    return () => clearTimeout(timer);
  },
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
      const cancel = systemClock.after(ms, () => {
        signal?.removeEventListener('abort', abort);
        resolve();
      });
      signal?.addEventListener('abort', abort, { once: true });
    });
  },
};

function abortError(): DOMException {
  return new DOMException('interrupted', 'AbortError');
}
