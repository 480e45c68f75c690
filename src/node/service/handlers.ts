import { once } from 'node:events';
import type {
  handleClientStreamingCall,
  handleServerStreamingCall,
  handleUnaryCall,
  ServerUnaryCall,
} from '@grpc/grpc-js';
import { Failure, type FailureKind } from '../../mesh/terms/failure.js';
import { statusFromFailure } from '../../mesh/wire/status.js';
import { callerKey } from './crowd.js';
import type { PatientLog } from './patient-log.js';

/** What a handler may ask of the call that it answers; it aborts when the caller went away. */
export interface Incoming<C> {
  readonly caller: C;
  readonly signal: AbortSignal;
}

/** What all kinds of calls have in common. */
export interface Call {
  readonly cancelled: boolean;
  getAuthContext(): ReturnType<ServerUnaryCall<unknown, unknown>['getAuthContext']>;
  getPeer(): string;
  getPath(): string;
  once(event: 'cancelled', listener: () => void): unknown;
}

/** Finds out who is calling; throws a Failure for a caller that may not. */
export type Admission<C> = (call: Call) => C | Promise<C>;

/** What is the matter with this server rather than with the caller. */
const ours: readonly FailureKind[] = ['failed', 'no-space', 'damaged'];

/**
 * Turns plain async functions into grpc-js handlers: admits the caller, translates whatever is thrown into a status, and
 * never lets an exception end the process. What is not a Failure is our bug: it is logged here and stays here.
 */
export function handlersFor<C>(admit: Admission<C>, log: PatientLog) {
  const statusOf = (thrown: unknown, call: Call) => {
    const method = call.getPath();
    if (thrown instanceof Failure) {
      const from = call.getPeer();
      const { code = '' } = (thrown.cause ?? {}) as NodeJS.ErrnoException;
      const { kind, message: reason } = thrown;
      const level = ours.includes(kind) ? 'warn' : 'info';
      log.again(`${callerKey(call)} ${method} ${kind} ${code}`, level, 'call refused', {
        method,
        from,
        kind,
        reason,
      });
    } else {
      const failure = Failure.from(thrown);
      log.error('call failed', { method, from: call.getPeer(), reason: failure.message, stack: stackOf(thrown) });
    }
    return statusFromFailure(thrown);
  };

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

    clientStream<Q, R>(
      handle: (requests: AsyncIterable<Q>, incoming: Incoming<C>) => Promise<R>,
    ): handleClientStreamingCall<Q, R> {
      return (call, callback) => {
        const answer = async () => handle(call, { caller: await admit(call), signal: signalOf(call) });
        answer().then(
          (response) => callback(null, response),
          (thrown) => callback(statusOf(thrown, call)),
        );
      };
    },
  };
}

function signalOf(call: Call): AbortSignal {
  const controller = new AbortController();
  if (call.cancelled) controller.abort();
  else call.once('cancelled', () => controller.abort());
  return controller.signal;
}

function stackOf(thrown: unknown): string | undefined {
  return thrown instanceof Error ? thrown.stack : undefined;
}
