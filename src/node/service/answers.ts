import type { ServerHttp2Stream } from 'node:http2';
import { leafSize } from '../../mesh/manifest/digest-tree.js';
import type { Clock } from '../../mesh/terms/clock.js';
import { Failure } from '../../mesh/terms/failure.js';
import { type Framed, writeFramed } from '../../mesh/wire/frames.js';
import { messagesOf } from '../../mesh/wire/messages.js';
import type { Codec, Method } from '../../mesh/wire/methods.js';
import { okStatus, type Status, statusCode, trailersOf } from '../../mesh/wire/status.js';
import { type Admission, type Call, type Incoming, statusToTell } from './call.js';
import type { TakeStream } from './call-server.js';
import { openShares, type Shares } from './shares.js';
import type { ThrottledLog } from './throttled-log.js';

/** How the calls of one method are answered. */
export interface Answer {
  readonly path: string;
  messages(stream: ServerHttp2Stream, call: Call, signal: AbortSignal): AsyncIterable<Framed>;
}

/** Made once: an error takes its stack, which with each call is a part of its price. */
const hungUp = new DOMException('the call is over', 'AbortError');

const head = { ':status': 200, 'content-type': 'application/grpc' };

/** Calls of one node key that may be under way at a time, over all of its connections. */
const mostOfOneKey = 64;

/** Milliseconds that a caller may take for the request of a call that has one; it waits no longer for the answer. */
const requestPatience = 10_000;

/** What a caller that was refused still holds is its place. */
const unended = 'the caller does not end its request';

/** Milliseconds in which a caller has to take a leaf of an answer; else its place, and the file that is read, are others'. */
const leafPatience = 60_000;

/** Characters of a path that is not known which are told: very long trailers end the connection. */
const longestPath = 200;

/** Turns plain async functions into answers to the callers that are let in. */
export function answersTo<C>(admit: Admission<C>, clock: Clock) {
  /** The requests that came at a time are given together. */
  function bidiStream<Q, R>(
    { path, requests, responses }: Method<Q, R>,
    handle: (requests: AsyncIterable<readonly Q[]>, incoming: Incoming<C>) => AsyncIterable<R>,
  ): Answer {
    return {
      path,
      async *messages(stream, call, signal) {
        const caller = await admit(call);
        const arriving = asLongAsItLasts(messagesOf(stream, requests));
        try {
          for await (const message of handle(arriving, { caller, signal })) yield responses.toWire(message);
        } finally {
          // Whatever the handler left unread: what still comes would wait in a paused stream for as long as the connection
          // lasts. Nobody waits for it: the handler may have given up in the middle of waiting for a request.
          void arriving.return(undefined);
        }
      },
    };
  }

  function serverStream<Q, R>(
    { path, requests, responses }: Method<Q, R>,
    handle: (request: Q, incoming: Incoming<C>) => AsyncIterable<R>,
  ): Answer {
    return {
      path,
      async *messages(stream, call, signal) {
        const caller = await admit(call);
        const request = await only(stream, requests, clock);
        for await (const message of handle(request, { caller, signal })) yield responses.toWire(message);
      },
    };
  }

  return {
    bidiStream,
    serverStream,
    unary: <Q, R>(method: Method<Q, R>, handle: (request: Q, incoming: Incoming<C>) => R | Promise<R>): Answer =>
      serverStream(method, async function* (request, incoming) {
        yield await handle(request, incoming);
      }),
    /** The requests are given as for {@link bidiStream}. */
    clientStream: <Q, R>(
      method: Method<Q, R>,
      handle: (requests: AsyncIterable<readonly Q[]>, incoming: Incoming<C>) => Promise<R>,
    ): Answer =>
      bidiStream(method, async function* (requests, incoming) {
        yield await handle(requests, incoming);
      }),
  };
}

async function only<Q>(stream: ServerHttp2Stream, requests: Codec<Q>, clock: Clock): Promise<Q> {
  const arrived = breakOffAfter(requestPatience, stream, clock, 'the request of the call took too long to come');
  try {
    for await (const [request] of asLongAsItLasts(messagesOf(stream, requests)))
      if (request !== undefined) return request;
  } finally {
    arrived();
  }
  throw new Failure('invalid', 'the call has no request');
}

/** @returns what is to be called in time */
function breakOffAfter(ms: number, stream: ServerHttp2Stream, clock: Clock, why: string): () => void {
  const disarm = clock.after(ms, () => stream.destroy(new Failure('timeout', why)));
  // At once, not when whoever waits has noticed it: a node that has stopped leaves no timer.
  stream.once('close', disarm);
  return () => {
    stream.off('close', disarm);
    disarm();
  };
}

/** A stream that was cut throws errors of HTTP/2, which are no fault of ours. */
async function* asLongAsItLasts<M>(messages: AsyncIterable<M>): AsyncGenerator<M> {
  try {
    yield* messages;
  } catch (thrown) {
    throw thrown instanceof Failure ? thrown : new Failure('interrupted', 'the caller went away', { cause: thrown });
  }
}

/**
 * Answers calls. What goes wrong is logged, and told the caller as a status; what is not a Failure is our bug, and stays here.
 */
export function takeCalls(answers: readonly Answer[], clock: Clock, log: ThrottledLog): TakeStream {
  const underWay = openShares(mostOfOneKey);
  const serve = async (stream: ServerHttp2Stream, answer: Answer, call: Call): Promise<void> => {
    const gone = new AbortController();
    stream.once('close', () => gone.abort(hungUp));
    let leave = (): void => {};
    try {
      leave = begin(call, underWay);
      for await (const message of answer.messages(stream, call, gone.signal)) {
        if (!stream.headersSent) stream.respond(head, { waitForTrailers: true });
        await send(stream, message, gone.signal, clock);
      }
      finish(stream, okStatus);
    } catch (thrown) {
      // Whoever has gone is told nothing, and a write that ended for it is no news.
      if (gone.signal.aborted && !(thrown instanceof Failure)) return;
      finish(stream, statusToTell(thrown, call, log));
    } finally {
      leave();
    }
  };
  return (stream, headers, origin) => {
    if (!headers['content-type']?.startsWith('application/grpc')) {
      breakOffAfter(requestPatience, stream, clock, unended);
      stream.resume();
      stream.respond({ ':status': 415 }, { endStream: true });
      return;
    }
    const answer = answers.find(({ path }) => path === headers[':path']);
    if (answer === undefined) {
      const message = `The server does not implement the method ${headers[':path']?.slice(0, longestPath)}`;
      breakOffAfter(requestPatience, stream, clock, unended);
      finish(stream, { code: statusCode.unimplemented, message, details: new Uint8Array() });
      return;
    }
    serve(stream, answer, { ...origin, path: answer.path }).catch((thrown) => {
      log.error('call failed', { method: answer.path, reason: Failure.from(thrown).message });
      stream.destroy();
    });
  };
}

/**
 * Each call may hold a message of a mebibyte that is never finished, so nothing of it is read before.
 * @returns what ends it
 * @throws Failure when the caller has enough calls under way
 */
function begin({ certificate, crowd }: Call, underWay: Shares): () => void {
  const end = underWay.take(String(certificate?.fingerprint), crowd);
  if (typeof end !== 'number') return end;
  throw new Failure('failed', `you have ${end} calls under way here: wait for one of them`, { retryable: true });
}

/** The patience is in proportion to the message: that a part of one was taken is not told. */
async function send(stream: ServerHttp2Stream, message: Framed, signal: AbortSignal, clock: Clock): Promise<void> {
  const bytes = message.reduce((sum, { length }) => sum + length, 0);
  const why = 'the caller is too slow: it took less than 64 KiB of the answer in a minute';
  const taken = breakOffAfter(leafPatience * Math.max(1, bytes / leafSize), stream, clock, why);
  try {
    await writeFramed(stream, message, signal);
  } finally {
    taken();
  }
}

function finish(stream: ServerHttp2Stream, told: Status): void {
  if (stream.destroyed) return;
  // What still comes is of no use; read to its end, the stream can close: also one that the caller has cancelled.
  stream.resume();
  if (stream.closed) return;
  const trailers = trailersOf(told);
  if (stream.headersSent) {
    stream.once('wantTrailers', () => stream.sendTrailers(trailers));
    stream.end();
  } else {
    stream.respond({ ...head, ...trailers }, { endStream: true });
  }
}
