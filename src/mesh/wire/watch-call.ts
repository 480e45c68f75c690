import { setMaxListeners } from 'node:events';
import { Failure } from '../terms/failure.js';
import type { Whom } from './channel.js';

/** Sees to it that a call ends. */
export interface Watch {
  /** Aborts when the call has ended. */
  readonly settled: AbortSignal;
  /** Why we gave the call up, if we did. */
  readonly reason: Failure | null;
  /** What ends the call from now on, when it is given up; at once where it was before. */
  guard(cancel: () => void): void;
  /** Something arrived or went out: the patience starts again. */
  progress(): void;
  /** We are the slow side now: no patience is needed. */
  pause(): void;
  /** Ends the call for a reason of ours. */
  giveUp(reason: Failure): void;
  stop(): void;
}

/** Made once: an error takes its stack, which with each call is a part of its price. */
const ended = new DOMException('the call has ended', 'AbortError');

export function watchCall({ whom, clock, patience }: Whom, signal: AbortSignal | undefined): Watch {
  const settled = new AbortController();
  let cancel = (): void => {};
  let reason: Failure | null = null;
  let disarm = (): void => {};
  const giveUp = (why: Failure): void => {
    reason ??= why;
    disarm();
    cancel();
  };
  const progress = (): void => {
    disarm();
    if (settled.signal.aborted || reason !== null) return;
    const seconds = patience / 1000;
    disarm = clock.after(patience, () => giveUp(new Failure('timeout', `${whom} did not answer for ${seconds} s`)));
  };
  const abort = (): void => giveUp(new Failure('interrupted', `${whom}: interrupted`));
  // One signal ends the calls to any number of peers, and Node.js warns of more than ten.
  if (signal !== undefined) setMaxListeners(0, signal);
  signal?.addEventListener('abort', abort, { once: true });
  progress();
  if (signal?.aborted) abort();
  return {
    settled: settled.signal,
    get reason() {
      return reason;
    },
    guard(end) {
      cancel = end;
      if (reason !== null) cancel();
    },
    progress,
    pause: () => disarm(),
    giveUp,
    stop() {
      disarm();
      signal?.removeEventListener('abort', abort);
      settled.abort(ended);
    },
  };
}
