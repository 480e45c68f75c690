import { once } from 'node:events';
import type { handleServerStreamingCall, handleUnaryCall } from '@grpc/grpc-js';
import { type Admission, type Incoming, statusTeller } from './call.js';
import type { PatientLog } from './patient-log.js';

interface CancellableCall {
  readonly cancelled: boolean;
  once(event: 'cancelled', listener: () => void): unknown;
}

/**
 * Turns plain async functions into grpc-js handlers: admits the caller, translates whatever is thrown into a status, and
 * never lets an exception end the process. What is not a Failure is our bug: it is logged here and stays here.
 */
export function handlersFor<C>(admit: Admission<C>, log: PatientLog) {
  const statusOf = statusTeller(log);

  return {
    unary<Q, R>(handle: (request: Q, incoming: Incoming<C>) => R | Promise<R>): handleUnaryCall<Q, R> {
      return (call, callback) => {
        const answer = async () => handle(call.request, { caller: await admit(call), signal: signalOf(call) });
        answer().then(
          (response) => callback(null, response),
          (thrown) => callback(statusOf(thrown, call)),
        );
      };
    },

    serverStream<Q, R>(
      handle: (request: Q, incoming: Incoming<C>) => AsyncIterable<R>,
    ): handleServerStreamingCall<Q, R> {
      return (call) => {
        const signal = signalOf(call);
        const answer = async () => {
          for await (const message of handle(call.request, { caller: await admit(call), signal })) {
            if (!call.write(message)) await once(call, 'drain', { signal });
            if (signal.aborted) return;
          }
          call.end();
        };
        answer().catch((thrown) => {
          if (!signal.aborted) call.emit('error', statusOf(thrown, call));
        });
      };
    },
  };
}

function signalOf(call: CancellableCall): AbortSignal {
  const controller = new AbortController();
  if (call.cancelled) controller.abort();
  else call.once('cancelled', () => controller.abort());
  return controller.signal;
}
