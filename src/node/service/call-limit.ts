import { Metadata, ServerInterceptingCall, type ServerInterceptor } from '@grpc/grpc-js';
import { Failure } from '../../mesh/terms/failure.js';
import { statusFromFailure } from '../../mesh/wire/status.js';
import { type Call, identityOf } from './call.js';
import { openShares } from './shares.js';

/** Calls of one node key that may be under way at a time, over all of its connections. */
const mostOfOneKey = 64;

/** Counts the calls of each caller: each call may hold a message of a mebibyte that is never finished. */
export interface CallLimit {
  /**
   * A call begins, before anything of its messages is read.
   * @returns what ends it; more than once does no harm
   * @throws Failure when the caller has enough calls under way
   */
  enter(caller: Pick<Call, 'certificate'>): () => void;
}

export function openCallLimit(): CallLimit {
  const calls = openShares(mostOfOneKey);
  return {
    enter(caller) {
      const leave = calls.take(String(caller.certificate?.fingerprint256), identityOf(caller));
      if (typeof leave !== 'number') return leave;
      throw new Failure('failed', `you have ${leave} calls under way here: wait for one of them`, { retryable: true });
    },
  };
}

/** The same for the calls that grpc-js answers. */
export function limitCalls(limit: CallLimit): ServerInterceptor {
  return (_method, call) => {
    try {
      const leave = limit.enter({ certificate: call.getAuthContext().sslPeerCertificate });
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
