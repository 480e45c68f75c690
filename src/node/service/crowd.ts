import { Metadata, ServerInterceptingCall, type ServerInterceptor } from '@grpc/grpc-js';
import { Failure } from '../../mesh/terms/failure.js';
import { statusFromFailure } from '../../mesh/wire/status.js';
import { callerKey } from './call.js';

/** Calls of one node key that may be under way at a time, over all of its connections. */
const mostCalls = 64;

/** Counts the calls of each caller: each call may hold a message of a mebibyte that is never finished. */
export interface Crowd {
  /**
   * A call begins, before anything of its messages is read.
   * @returns what ends it; more than once does no harm
   * @throws Failure when the caller has enough calls under way
   */
  enter(caller: string): () => void;
}

export function openCrowd(): Crowd {
  const running = new Map<string, number>();
  return {
    enter(caller) {
      const others = running.get(caller) ?? 0;
      if (others >= mostCalls) {
        const message = `you have ${mostCalls} calls under way here: wait for one of them`;
        throw new Failure('failed', message, { retryable: true });
      }
      running.set(caller, others + 1);
      let over = false;
      return () => {
        if (over) return;
        over = true;
        const left = (running.get(caller) ?? 1) - 1;
        if (left === 0) running.delete(caller);
        else running.set(caller, left);
      };
    },
  };
}

/** The same for the calls that grpc-js answers. */
export function crowdControl(crowd: Crowd): ServerInterceptor {
  return (_method, call) => {
    try {
      const leave = crowd.enter(callerKey({ certificate: call.getAuthContext().sslPeerCertificate }));
      return new ServerInterceptingCall(call, {
        start: (next) => next({ onCancel: leave }),
        sendStatus(status, next) {
          leave();
          next(status);
        },
      });
    } catch (thrown) {
      const { code, message } = statusFromFailure(thrown);
      const refuse = (): void => call.sendStatus({ code, details: message, metadata: new Metadata() });
      return new ServerInterceptingCall(call, { start: (next) => next({ onReceiveMetadata: refuse }) });
    }
  };
}
