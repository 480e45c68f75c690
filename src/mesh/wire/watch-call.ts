import { Failure } from '../terms/failure.js';
import type { Whom } from './channel.js';

/** What a watch can end. */
export interface Call {
  cancel(): void;
}

/** Sees to it that a call ends. */
export interface Watch {
  /** Aborts when the call has ended. */
  readonly settled: AbortSignal;
  /** Why we gave the call up, if we did. */
  readonly reason: Failure | null;
  guard(call: Call): void;
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
  let call: Call | null = null;
  let reason: Failure | null = null;
  let disarm = (): void => {};
  const giveUp = (why: Failure): void => {
    reason ??= why;
    disarm();
    call?.cancel();
  };
  const progress = (): void => {
    disarm();
    if (settled.signal.aborted || reason !== null) return;
    const seconds = Math.round(patience / 1000);
    disarm = clock.after(patience, () => giveUp(new Failure('timeout', `${whom} did not answer for ${seconds} s`)));
  };
  const abort = (): void => giveUp(new Failure('interrupted', `${whom}: interrupted`));
  signal?.addEventListener('abort', abort, { once: true });
  progress();
  if (signal?.aborted) abort();
  return {
    settled: settled.signal,
    get reason() {
      return reason;
    },
    guard(started) {
      call = started;
      if (reason !== null) call.cancel();
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
