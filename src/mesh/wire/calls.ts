import type { Client, ClientReadableStream, MethodDefinition } from '@grpc/grpc-js';
import { Metadata, type ServiceError } from '@grpc/grpc-js';
import { Failure } from '../terms/failure.js';
import { type CallContext, watchCall } from './watch-call.js';

/** @throws Failure that names whom was asked */
export function callUnary<Q, R>(
  client: Client,
  method: MethodDefinition<Q, R>,
  request: Q,
  context: CallContext,
): Promise<R> {
  const watch = watchCall(context);
  return new Promise((resolve, reject) => {
    const answer = (error: ServiceError | null, response?: R): void => {
      watch.stop();
      if (error !== null) reject(watch.failure(error));
      else if (response === undefined) reject(new Failure('failed', `${context.whom} gave an empty answer`));
      else resolve(response);
    };
    const { path, requestSerialize, responseDeserialize } = method;
    watch.guard(client.makeUnaryRequest(path, requestSerialize, responseDeserialize, request, new Metadata(), answer));
  });
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
  const watch = watchCall(context);
  watch.guard(call);
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
