import { Metadata, ServerInterceptingCall, type ServerInterceptor } from '@grpc/grpc-js';
import { Failure } from '../../mesh/terms/failure.js';
import { statusFromFailure } from '../../mesh/wire/status.js';
import { type Call, identityOf } from './call.js';

/** Calls of one node key that may be under way at a time, over all of its connections: a stolen key takes none from its server. */
const mostOfOneKey = 64;
/** For all node keys of an identity together: it may issue itself any number of them. */
const mostOfOneIdentity = 2 * mostOfOneKey;

/** Counts the calls of each caller: each call may hold a message of a mebibyte that is never finished. */
export interface Crowd {
  /**
   * A call begins, before anything of its messages is read.
   * @returns what ends it; more than once does no harm
   * @throws Failure when the caller has enough calls under way
   */
  enter(caller: Pick<Call, 'certificate'>): () => void;
}

export function openCrowd(): Crowd {
  const running = new Map<string, number>();
  const count = (caller: string, change: number): void => {
    const calls = (running.get(caller) ?? 0) + change;
    if (calls === 0) running.delete(caller);
    else running.set(caller, calls);
  };
  return {
    enter(caller) {
      const limits = [
        [`key ${String(caller.certificate?.fingerprint256)}`, mostOfOneKey],
        [`identity ${identityOf(caller)}`, mostOfOneIdentity],
      ] as const;
      for (const [who, most] of limits) {
        if ((running.get(who) ?? 0) < most) continue;
        const message = `you have ${most} calls under way here: wait for one of them`;
        throw new Failure('failed', message, { retryable: true });
      }
      for (const [who] of limits) count(who, 1);
      let over = false;
      return () => {
        if (over) return;
        over = true;
        for (const [who] of limits) count(who, -1);
      };
    },
  };
}

/** The same for the calls that grpc-js answers. */
export function crowdControl(crowd: Crowd): ServerInterceptor {
  return (_method, call) => {
    try {
      const leave = crowd.enter({ certificate: call.getAuthContext().sslPeerCertificate });
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
