import { createServer, type IncomingHttpHeaders, type ServerHttp2Session, type ServerHttp2Stream } from 'node:http2';
import type { Socket } from 'node:net';
import type { Clock } from '../../mesh/terms/clock.js';
import { flowControlWindow, http2Settings, openWindows } from '../../mesh/wire/http2-settings.js';
import { longestMessage } from '../../mesh/wire/limits.js';
import { peerService } from '../../mesh/wire/methods.js';
import { boundWaiting } from '../../mesh/wire/waiting.js';
import type { Origin } from './call.js';

/** Answers what comes over the connections that it is given. */
export interface CallServer {
  /** @param clock by which the other side is asked now and then whether it is still there; not at all without it */
  serve(connection: Socket, origin: Origin, clock?: Clock): void;
  /** Ends each connection when the calls over it have ended, and takes no new ones. */
  drain(): void;
  /** Closes what is left of the connections. A session that ends waits for what it writes, over a link that was cut for ever. */
  cut(): void;
}

/** Answers a stream of a session. */
export type TakeStream = (stream: ServerHttp2Stream, headers: IncomingHttpHeaders, origin: Origin) => void;

/** Calls that one connection may have under way. */
const mostStreams = 64;

export function callServer(take: TakeStream): CallServer {
  const sessions = new Map<Socket, { readonly session: ServerHttp2Session; stopAsking(): void }>();
  const server = createServer({
    settings: { ...http2Settings, maxConcurrentStreams: mostStreams },
    // What waits in the streams of a session is bounded; beyond a limit of its own, Node would refuse calls.
    maxSessionMemory: Number.MAX_SAFE_INTEGER,
  });
  const answer = (stream: ServerHttp2Stream, headers: IncomingHttpHeaders, origin: Origin): void => {
    // What breaks a stream closes it. An error that nobody listens to would end the process.
    stream.on('error', () => {});
    // It was broken off in the moment in which it came: nobody waits for an answer.
    if (stream.closed) {
      stream.destroy();
      return;
    }
    // Only a push has more to send than one message and its prefix.
    const isPush = headers[':path'] === peerService.pushBackup.path;
    boundWaiting(stream, isPush ? flowControlWindow : longestMessage + 2 ** 10);
    take(stream, headers, origin);
  };
  return {
    serve(connection, origin, clock) {
      const begin = (session: ServerHttp2Session): void => {
        const stopAsking = clock === undefined ? (): void => {} : endWhenDead(session, connection, clock);
        sessions.set(connection, { session, stopAsking });
        connection.once('close', () => {
          stopAsking();
          sessions.delete(connection);
        });
        openWindows(session);
        session.on('stream', (stream, headers) => answer(stream, headers, origin));
      };
      // Whom the session answers hangs on it: no other connection may meet what is meant for this one.
      try {
        server.once('session', begin).emit('connection', connection);
      } finally {
        server.off('session', begin);
      }
    },
    drain() {
      for (const { session, stopAsking } of sessions.values()) {
        stopAsking();
        session.close();
      }
    },
    cut() {
      for (const connection of sessions.keys()) connection.destroy();
    },
  };
}

/** Milliseconds between the answer to a ping and the next one, and until one without an answer ends the connection. */
const pingGap = 30_000;
const pingPatience = 60_000;

/**
 * Ends a connection whose other side is gone: of a peer that lost power nothing is heard. Not its session, which would wait for
 * what it writes.
 * @returns stops asking
 */
function endWhenDead(session: ServerHttp2Session, connection: Socket, clock: Clock): () => void {
  let isOver = false;
  let cancel = (): void => {};
  const ask = (): void => {
    if (session.destroyed) return;
    cancel = clock.after(pingPatience, () => connection.destroy());
    session.ping((failure) => {
      if (isOver) return;
      cancel();
      if (failure === null) cancel = clock.after(pingGap, ask);
      else connection.destroy();
    });
  };
  cancel = clock.after(pingGap, ask);
  return () => {
    isOver = true;
    cancel();
  };
}
