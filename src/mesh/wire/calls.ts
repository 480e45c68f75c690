import { type ClientHttp2Stream, constants, type IncomingHttpHeaders } from 'node:http2';
import { Failure } from '../terms/failure.js';
import type { Channel } from './channel.js';
import { writeFramed } from './frames.js';
import { messagesOf } from './messages.js';
import type { Codec, Method } from './methods.js';
import { failureFromTrailers } from './status.js';
import { type Watch, watchCall } from './watch-call.js';

/** @throws Failure that names whom was asked */
export function callUnary<Q, R>(channel: Channel, method: Method<Q, R>, request: Q, signal?: AbortSignal): Promise<R> {
  return callClientStream(channel, method, [request], signal);
}

/**
 * Sends one request and yields the answers, all that came at a time, and ends only when the peer said that they are complete.
 * Leaving early cancels.
 * @throws Failure that names whom was asked
 */
export function callServerStream<Q, R>(
  channel: Channel,
  method: Method<Q, R>,
  request: Q,
  signal?: AbortSignal,
): AsyncGenerator<readonly R[]> {
  return exchange(channel, method, [request], signal);
}

/**
 * Sends all requests and gives the peer's answer, which may come before the last request was sent.
 * @throws Failure that names whom was asked
 */
export async function callClientStream<Q, R>(
  channel: Channel,
  method: Method<Q, R>,
  requests: AsyncIterable<Q> | Iterable<Q>,
  signal?: AbortSignal,
): Promise<R> {
  let answer: R | undefined;
  for await (const messages of exchange(channel, method, requests, signal)) {
    // Each one counts as progress: a peer that gives more and more would keep us waiting for ever.
    if (answer !== undefined || messages.length > 1) {
      throw new Failure('failed', `${channel.whom} gave more than one answer`);
    }
    answer = messages[0];
  }
  if (answer === undefined) throw new Failure('failed', `${channel.whom} gave an empty answer`);
  return answer;
}

async function* exchange<Q, R>(
  channel: Channel,
  method: Method<Q, R>,
  requests: AsyncIterable<Q> | Iterable<Q>,
  signal?: AbortSignal,
): AsyncGenerator<readonly R[]> {
  const { whom, isOwnNode } = channel;
  const watch = watchCall(channel, signal);
  let stream: ClientHttp2Stream | null = null;
  let complete = false;
  try {
    stream = await open(channel, method.path, watch);
    const status = statusOf(stream);
    void send(stream, method.requests, requests, watch);
    try {
      for await (const messages of messagesOf(stream, method.responses)) {
        watch.pause();
        yield messages;
        watch.progress();
      }
    } catch (thrown) {
      if (thrown instanceof Failure) throw thrown.within(whom);
      // A stream that broke after its end was told has told how it ended.
      if (status.trailers === undefined) throw thrown;
    }
    const failure =
      status.trailers === undefined ? broken(whom) : failureFromTrailers(status.trailers, whom, isOwnNode);
    if (failure !== null) throw failure;
    complete = true;
  } catch (thrown) {
    throw watch.reason ?? (thrown instanceof Failure ? thrown : broken(whom, thrown));
  } finally {
    watch.stop();
    // One that is complete closes by itself; a peer ends a connection over which very many are cancelled.
    if (stream !== null && !(complete && stream.writableEnded)) cancel(stream);
  }
}

/** Ends a stream at once. Closing alone would wait until the peer can be told, which over a dead link is never. */
function cancel(stream: ClientHttp2Stream): void {
  stream.close(constants.NGHTTP2_CANCEL);
  stream.destroy();
}

function open(channel: Channel, path: string, watch: Watch): Promise<ClientHttp2Stream> {
  return new Promise((resolve, reject) => {
    watch.guard(() => reject(new Failure('interrupted', 'given up before there was a connection')));
    channel.open(path).then(
      (stream) => {
        // What breaks a stream is told by reading it.
        stream.on('error', () => {});
        watch.guard(() => cancel(stream));
        resolve(stream);
      },
      (cause: Error) => reject(noConnection(channel.whom, cause)),
    );
  });
}

function noConnection(whom: string, cause: Error): Failure {
  if (cause instanceof Failure) return cause.within(whom);
  return new Failure('unreachable', `${whom}: no connection (${cause.message})`, { cause });
}

/** Where the status of a call is to be found, once it has come: at the end of an answer, or in place of one. */
function statusOf(stream: ClientHttp2Stream): { readonly trailers?: IncomingHttpHeaders } {
  const status: { trailers?: IncomingHttpHeaders } = {};
  const take = (headers: IncomingHttpHeaders): void => {
    if (headers['grpc-status'] !== undefined) status.trailers = headers;
  };
  stream.on('response', take);
  stream.on('trailers', take);
  return status;
}

async function send<Q>(
  stream: ClientHttp2Stream,
  { toWire }: Codec<Q>,
  requests: AsyncIterable<Q> | Iterable<Q>,
  watch: Watch,
): Promise<void> {
  try {
    for await (const request of requests) {
      await writeFramed(stream, toWire(request), watch.settled);
      watch.progress();
    }
    stream.end();
  } catch (thrown) {
    // The source of the requests failed; or the call is over, and the stream with it.
    if (!watch.settled.aborted && !stream.destroyed) watch.giveUp(Failure.from(thrown));
  }
}

/** A connection that was there, and is no more, as the cause of a Failure. */
class BrokenConnection extends Error {
  override readonly name = 'BrokenConnection';
}

function broken(whom: string, cause?: unknown): Failure {
  const words = cause instanceof Error ? ` (${cause.message})` : '';
  const message = `the connection broke${words}`;
  return new Failure('unreachable', `${whom}: ${message}`, { cause: new BrokenConnection(message, { cause }) });
}

/** Whether a call failed although the peer that was called had shown who it is. */
export function hadConnection({ cause }: Failure): boolean {
  return cause instanceof BrokenConnection;
}
