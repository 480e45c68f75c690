import type { ServerHttp2Stream } from 'node:http2';
import type { TLSSocket } from 'node:tls';
import { Metadata, type StatusObject, status } from '@grpc/grpc-js';
import { Failure } from '../../mesh/terms/failure.js';
import { messagesOf } from '../../mesh/wire/bulk-calls.js';
import type { BulkMethod } from '../../mesh/wire/bulk-methods.js';
import { type Framed, writeFramed } from '../../mesh/wire/frames.js';
import type { TakeStream } from '../../mesh/wire/http2-server.js';
import { trailersOf } from '../../mesh/wire/status.js';
import { type Admission, type Call, callerKey, type Incoming, statusTeller } from './call.js';
import type { Crowd } from './crowd.js';
import type { PatientLog } from './patient-log.js';

/** How the calls of one method are answered. */
export interface BulkAnswer {
  readonly path: string;
  messages(stream: ServerHttp2Stream, call: Call, signal: AbortSignal): AsyncIterable<Framed>;
}

const head = { ':status': 200, 'content-type': 'application/grpc' };
const done: StatusObject = { code: status.OK, details: '', metadata: new Metadata() };

export function bulkAnswer<Q, R, C>(
  { path, requests, responses }: BulkMethod<Q, R>,
  admit: Admission<C>,
  handle: (requests: AsyncIterable<readonly Q[]>, incoming: Incoming<C>) => AsyncIterable<R>,
): BulkAnswer {
  return {
    path,
    async *messages(stream, call, signal) {
      const caller = await admit(call);
      const arriving = asLongAsItLasts(messagesOf(stream, requests));
      for await (const message of handle(arriving, { caller, signal })) yield responses.toWire(message);
    },
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

/** Answers the calls that carry backups, without grpc-js between them and the socket. */
export function bulkCalls(answers: readonly BulkAnswer[], crowd: Crowd, log: PatientLog): TakeStream {
  const statusOf = statusTeller(log);
  const serve = async (stream: ServerHttp2Stream, answer: BulkAnswer): Promise<void> => {
    const call = callOf(stream, answer.path);
    const gone = new AbortController();
    stream.once('close', () => gone.abort());
    // What breaks a stream closes it.
    stream.on('error', () => {});
    let leave = (): void => {};
    try {
      leave = crowd.enter(callerKey(call));
      for await (const message of answer.messages(stream, call, gone.signal)) {
        if (!stream.headersSent) stream.respond(head, { waitForTrailers: true });
        await writeFramed(stream, message, gone.signal);
      }
      finish(stream, done);
    } catch (thrown) {
      // Whoever has gone is told nothing, and a write that ended for it is no news.
      if (gone.signal.aborted && !(thrown instanceof Failure)) return;
      const told = statusOf(thrown, call);
      finish(stream, told);
    } finally {
      leave();
    }
  };
  return (stream, headers) => {
    const answer = answers.find(({ path }) => path === headers[':path']);
    if (answer === undefined) return false;
    serve(stream, answer).catch((thrown) => {
      log.error('call failed', { method: answer.path, reason: Failure.from(thrown).message });
      stream.destroy();
    });
    return true;
  };
}

function finish(stream: ServerHttp2Stream, told: StatusObject): void {
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

/** What is known of the caller is asked at once: of a session that has ended, nothing can be asked any more. */
function callOf(stream: ServerHttp2Stream, path: string): Call {
  const socket = stream.session?.socket as TLSSocket;
  const peer = `${socket.remoteAddress}:${socket.remotePort}`;
  const sslPeerCertificate = socket.getPeerCertificate();
  return { getAuthContext: () => ({ sslPeerCertificate }), getPeer: () => peer, getPath: () => path };
}
