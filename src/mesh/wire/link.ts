import type { ClientHttp2Session, ClientHttp2Stream } from 'node:http2';
import type { Clock } from '../terms/clock.js';
import { flowControlWindow } from './http2-settings.js';
import { boundWaiting } from './waiting.js';

/** Milliseconds after which a connection that does not answer a ping is given up. Much may be on its way before the ping. */
const pingPatience = 60_000;
/** The same for one over which nothing else is on its way, and that is wanted now. */
const idlePatience = 4_000;
/** Milliseconds for which an answer counts: no machine loses power and is back sooner. */
const answerCounts = 10_000;

/** A connection that was made. */
export interface Link {
  /**
   * Whether calls can be made over it. Of a link that has died nothing is heard, and of a peer that lost power only once it is
   * asked. So each call asks; when no answer comes, the call fails, and the next one connects again. A connection that lay idle
   * has to answer before the call begins, which then need not fail.
   */
  isThere(): Promise<boolean>;
  /** Starts a call, see `Channel.open`. */
  open(path: string): ClientHttp2Stream;
  /** Answers from now on are of no interest. */
  stopWaiting(): void;
}

export function openLink(session: ClientHttp2Session, clock: Clock): Link {
  let calls = 0;
  let answeredAt = clock.monotonic();
  /** A ping on its way; resolves with its answer, or when there will be none. */
  let answer: Promise<void> | null = null;
  let stopWaiting = (): void => {};

  function ping(): Promise<void> {
    answer ??= new Promise((resolve) => {
      const stopTimer = clock.after(pingPatience, () => session.destroy());
      stopWaiting = () => {
        stopTimer();
        answer = null;
        resolve();
      };
      session.ping((failure) => {
        if (failure === null) answeredAt = clock.monotonic();
        stopWaiting();
      });
    });
    return answer;
  }

  return {
    async isThere() {
      if (session.closed || session.destroyed) return false;
      const isIdle = calls === 0 && clock.monotonic() - answeredAt >= answerCounts;
      const answered = ping();
      if (isIdle) {
        const stopTimer = clock.after(idlePatience, () => session.destroy());
        await answered.finally(stopTimer);
      }
      return !session.closed && !session.destroyed;
    },
    open(path) {
      const head = { ':method': 'POST', ':path': path, 'content-type': 'application/grpc', te: 'trailers' };
      const stream = session.request(head);
      boundWaiting(stream, flowControlWindow);
      calls += 1;
      return stream.once('close', () => {
        calls -= 1;
      });
    },
    stopWaiting: () => stopWaiting(),
  };
}
