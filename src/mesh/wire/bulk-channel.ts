import { type ClientHttp2Session, type ClientHttp2Stream, connect as openSession } from 'node:http2';
import { type ConnectionOptions, connect } from 'node:tls';
import type { Clock } from '../terms/clock.js';
import { flowControlWindow, http2Settings } from './http2-server.js';

/** Milliseconds that a connection may take to be there. */
const connectPatience = 20_000;
/** Milliseconds after which a connection that does not answer a ping is given up. Much may be on its way before the ping. */
const pingPatience = 60_000;

/**
 * A connection to a peer that carries backups: plain HTTP/2, over which we speak gRPC ourselves, because grpc-js copies
 * each byte of a message three times. It connects at the first call, and after it broke at the next one.
 */
export interface BulkChannel {
  /**
   * Starts a call.
   * @param path of the method, `/package.Service/Method`
   * @throws the error of the socket when there is no connection
   */
  open(path: string): Promise<ClientHttp2Stream>;
  /** Lets calls under way end. Until then the connection keeps the process alive. */
  close(): void;
}

/** @param options where the peer is, our certificate, and how the peer's is proven */
export function openBulkChannel(options: ConnectionOptions, clock: Clock): BulkChannel {
  const over = new AbortController();
  let current: Promise<ClientHttp2Session> | null = null;
  /** Ends the wait for the answer to a ping. */
  let answered: (() => void) | null = null;

  async function liveSession(): Promise<ClientHttp2Session> {
    while (true) {
      current ??= dial(options, clock, over.signal);
      const dialed = current;
      const session = await dialed.catch(() => null);
      if (session !== null && !session.closed && !session.destroyed) return session;
      if (current === dialed) current = null;
      if (session === null) return dialed;
    }
  }

  /**
   * Asks with each call whether the connection still is one: of a link that has died nothing is heard, and each call would
   * wait for it anew. When no answer comes, the call fails, and the next one connects again.
   */
  function checkAlive(session: ClientHttp2Session): void {
    if (answered !== null) return;
    const stopTimer = clock.after(pingPatience, () => session.destroy());
    answered = () => {
      stopTimer();
      answered = null;
    };
    session.ping(answered);
  }

  return {
    async open(path) {
      const session = await liveSession();
      checkAlive(session);
      const head = { ':method': 'POST', ':path': path, 'content-type': 'application/grpc', te: 'trailers' };
      return session.request(head);
    },
    close() {
      answered?.();
      over.abort(new Error('the connection was closed here'));
    },
  };
}

function dial(options: ConnectionOptions, clock: Clock, over: AbortSignal): Promise<ClientHttp2Session> {
  return new Promise((resolve, reject) => {
    const socket = connect(options);
    const giveUp = (): void => void socket.destroy(over.reason);
    const stopTimer = clock.after(connectPatience, () => socket.destroy(new Error('nobody answers')));
    const end = (): void => {
      stopTimer();
      over.removeEventListener('abort', giveUp);
    };
    over.addEventListener('abort', giveUp);
    if (over.aborted) giveUp();
    socket.once('error', reject);
    socket.once('close', end);
    socket.once('secureConnect', () => {
      end();
      const session = openSession('https://anemone-peer', {
        createConnection: () => socket,
        settings: { ...http2Settings, enablePush: false },
      });
      // What breaks it later is told by the streams that it had.
      session.on('error', reject).once('close', () => reject(new Error('closed at once')));
      session.once('connect', () => {
        session.setLocalWindowSize(flowControlWindow);
        const hangUp = (): void => {
          session.close();
          // Over a dead link it takes long to be closed, for which nobody has to wait.
          session.unref();
        };
        over.addEventListener('abort', hangUp);
        if (over.aborted) hangUp();
        resolve(session);
      });
    });
  });
}
