import { ServerInterceptingCall, type ServerInterceptor } from '@grpc/grpc-js';
import { Failure } from '../../mesh/terms/failure.js';
import { statusFromFailure } from '../../mesh/wire/status.js';

/** Calls of one caller that may be under way at a time, over all of its connections. */
const mostCalls = 64;

/** The proven identity of a caller, as a key; the own client has none. */
export function callerKey(call: Pick<Intercepted, 'getAuthContext'>): string {
  return String(call.getAuthContext().sslPeerCertificate?.issuer?.CN);
}

/**
 * Refuses what one caller asks for beyond a number of calls at a time, before anything of their messages is read: each may
 * hold a message of a mebibyte that is never finished.
 */
export function crowdControl(): ServerInterceptor {
  const running = new Map<string, number>();
  return (_method, call) => {
    const caller = callerKey(call);
    const others = running.get(caller) ?? 0;
    if (others >= mostCalls) return refuse(call);
    running.set(caller, others + 1);
    let over = false;
    const leave = (): void => {
      if (over) return;
      over = true;
      const left = (running.get(caller) ?? 1) - 1;
      if (left === 0) running.delete(caller);
      else running.set(caller, left);
    };
    return new ServerInterceptingCall(call, {
      start: (next) => next({ onCancel: leave }),
      sendStatus(status, next) {
        leave();
        next(status);
      },
    });
  };
}

type Intercepted = ConstructorParameters<typeof ServerInterceptingCall>[0];

function refuse(call: Intercepted): ServerInterceptingCall {
  const failure = new Failure('failed', `you have ${mostCalls} calls under way here: wait for one of them`, {
    retryable: true,
  });
  return new ServerInterceptingCall(call, {
    start: (next) => next({ onReceiveMetadata: () => call.sendStatus(statusFromFailure(failure)) }),
  });
}
