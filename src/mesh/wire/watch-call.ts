import type { Clock } from '../terms/clock.js';
import { Failure } from '../terms/failure.js';

/** What every call needs to end: for whom, by when, and who may stop it. */
export interface CallContext {
  /** Whom we ask, as a person calls it; every failure of the call names it. */
  readonly whom: string;
  /** Whether it is the node of this server, whose hints are ours. */
  readonly isOwnNode?: boolean;
  readonly clock: Clock;
  /** Milliseconds without any progress after which the call is given up. */
  readonly patience: number;
  readonly signal?: AbortSignal | undefined;
}

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

export function watchCall({ whom, clock, patience, signal }: CallContext): Watch {
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
