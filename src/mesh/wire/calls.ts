import { type EventEmitter, once } from 'node:events';
import type {
  Client,
  ClientReadableStream,
  ClientUnaryCall,
  ClientWritableStream,
  MethodDefinition,
} from '@grpc/grpc-js';
import { Metadata, type ServiceError } from '@grpc/grpc-js';
import type { Clock } from '../terms/clock.js';
import { Failure } from '../terms/failure.js';
import { failureFromStatus } from './status.js';

/** What every call needs to end: for whom, by when, and who may stop it. */
export interface CallContext {
  /** Whom we ask, as a person calls it; every failure of the call names it. */
  readonly whom: string;
  readonly clock: Clock;
  /** Milliseconds without any progress after which the call is given up. */
  readonly patience: number;
  readonly signal?: AbortSignal | undefined;
}

/** @throws Failure that names whom was asked */
export function callUnary<Q, R>(
  client: Client,
  method: MethodDefinition<Q, R>,
  request: Q,
  context: CallContext,
): Promise<R> {
  return answer(context, (callback) =>
    client.makeUnaryRequest(
      method.path,
      method.requestSerialize,
      method.responseDeserialize,
      request,
      new Metadata(),
      callback,
    ),
  );
}

/**
 * Yields the messages of a server stream, and ends only when the server said that it is complete. Leaving early cancels.
 * @throws Failure that names whom was asked
 */
export async function* callServerStream<Q, R>(
  client: Client,
  method: MethodDefinition<Q, R>,
  request: Q,
  context: CallContext,
): AsyncGenerator<R> {
  const call: ClientReadableStream<R> = client.makeServerStreamRequest(
    method.path,
    method.requestSerialize,
    method.responseDeserialize,
    request,
  );
  const watch = watchCall(call, context);
  try {
    for await (const message of call) {
      watch.pause();
      yield message;
      watch.progress();
    }
  } catch (error) {
    throw watch.failure(error);
  } finally {
    watch.stop();
    call.cancel();
    // A cancelled call still reports its status; nobody is left to hear it.
    call.on('error', () => {});
  }
}

/**
 * Sends all requests and gives the server's answer, which may come before the last request was sent.
 * @throws Failure that names whom was asked
 */
export function callClientStream<Q, R>(
  client: Client,
  method: MethodDefinition<Q, R>,
  requests: AsyncIterable<Q>,
  context: CallContext,
): Promise<R> {
  return answer(context, (callback, watch) => {
    const call: ClientWritableStream<Q> = client.makeClientStreamRequest(
      method.path,
      method.requestSerialize,
      method.responseDeserialize,
      callback,
    );
    void send(call, requests, watch);
    return call;
  });
}

async function send<Q>(call: ClientWritableStream<Q>, requests: AsyncIterable<Q>, watch: Watch): Promise<void> {
  try {
    for await (const request of requests) {
      if (watch.settled.aborted) return;
      if (!call.write(request)) await once(call, 'drain', { signal: watch.settled });
      watch.progress();
    }
    call.end();
  } catch (error) {
    // The source of the requests failed, or the server answered while we waited for it to take more.
    if (!watch.settled.aborted) watch.giveUp(Failure.from(error));
  }
}

type Call = ClientUnaryCall | ClientReadableStream<unknown> | ClientWritableStream<unknown>;

/** Runs a call that answers once, through a callback. */
function answer<R>(
  context: CallContext,
  start: (callback: (error: ServiceError | null, response?: R) => void, watch: Watch) => Call,
): Promise<R> {
  return new Promise((resolve, reject) => {
    const watch = watchCall(null, context);
    const call = start((error, response) => {
      watch.stop();
      if (error !== null) reject(watch.failure(error));
      else if (response === undefined) reject(new Failure('failed', `${context.whom} gave an empty answer`));
      else resolve(response);
      // After an early answer a client stream would wait for ever to send the rest.
      if ('destroy' in call && typeof call.destroy === 'function') call.destroy();
    }, watch);
    (call as EventEmitter).on('error', () => {});
    watch.guard(call);
  });
}

interface Watch {
  /** Aborts when the call has ended. */
  readonly settled: AbortSignal;
  guard(call: Call): void;
  /** Something arrived or went out: the patience starts again. */
  progress(): void;
  /** We are the slow side now: no patience is needed. */
  pause(): void;
  /** Ends the call for a reason of ours. */
  giveUp(reason: Failure): void;
  /** The reason of ours if there is one, else the error as a Failure. */
  failure(error: unknown): Failure;
  stop(): void;
}

function watchCall(guarded: Call | null, { whom, clock, patience, signal }: CallContext): Watch {
  const settled = new AbortController();
  let call = guarded;
  let reason: Failure | null = null;
  let disarm = (): void => {};
  const giveUp = (why: Failure): void => {
    reason ??= why;
    call?.cancel();
  };
  const progress = (): void => {
    disarm();
    if (settled.signal.aborted) return;
    const seconds = Math.round(patience / 1000);
    disarm = clock.after(patience, () => giveUp(new Failure('timeout', `${whom} did not answer for ${seconds} s`)));
  };
  const abort = (): void => giveUp(new Failure('interrupted', `${whom}: interrupted`));
  signal?.addEventListener('abort', abort, { once: true });
  progress();
  if (signal?.aborted) abort();
  return {
    settled: settled.signal,
    guard(started) {
      call = started;
      if (reason !== null) call.cancel();
    },
    progress,
    pause: () => disarm(),
    giveUp,
    failure: (error) => reason ?? failureFromStatus(error, whom),
    stop() {
      disarm();
      signal?.removeEventListener('abort', abort);
      settled.abort();
    },
  };
}
