import { type ClientHttp2Session, type ClientHttp2Stream, connect as openSession } from 'node:http2';
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import type { Clock } from '../terms/clock.js';
import { Failure } from '../terms/failure.js';
import { http2Settings, openWindows } from './http2-settings.js';
import { type Link, openLink } from './link.js';

/** Milliseconds that a connection may take to be there. */
const connectPatience = 20_000;

/** Who is at the other end of a channel, and for how long its calls wait. */
export interface Whom {
  /** As a person calls it: `FR2 (10.8.0.2:7443)`. Every failure of a call names it. */
  readonly whom: string;
  /** Whether it is the node of this server, whose hints are ours, and whose lists may be of any length. */
  readonly isOwnNode?: boolean;
  readonly clock: Clock;
  /** Milliseconds without any progress after which a call is given up. */
  readonly patience: number;
}

/**
 * A connection to a node: plain HTTP/2, over which we speak gRPC ourselves, because grpc-js copies each byte of a message three
 * times, and is most of what a short command would load. It connects at the first call, and after it broke at the next one.
 */
export interface Channel extends Whom {
  /** Connects now. @throws as {@link open} */
  connect(): Promise<void>;
  /**
   * Starts a call.
   * @param path of the method, `/package.Service/Method`
   * @throws the error of the socket when there is no connection, or the Failure of the proof
   */
  open(path: string): Promise<ClientHttp2Stream>;
  /** Lets calls under way end. Until then the connection keeps the process alive. */
  close(): void;
}

/**
 * @param reach makes a socket to the node
 * @param prove called when the socket is there, before a byte of HTTP/2: throws a Failure where somebody else is at its end
 */
export function openChannel<S extends Socket>(whom: Whom, reach: () => S, prove: (socket: S) => void): Channel {
  const { clock } = whom;
  const over = new AbortController();
  let current: Promise<Link> | null = null;

  async function liveLink(): Promise<Link> {
    while (true) {
      current ??= dial(reach, prove, clock, over.signal).then((session) => openLink(session, clock));
      const made = current;
      const link = await made.catch(() => null);
      if (link !== null && (await link.isThere())) return link;
      if (current === made) current = null;
      if (link === null) return made;
    }
  }

  return {
    ...whom,
    async connect() {
      await liveLink();
    },
    async open(path) {
      const link = await liveLink();
      return link.open(path);
    },
    close() {
      over.abort(new Error('the connection was closed here'));
      current?.then(
        (link) => link.stopWaiting(),
        () => {},
      );
    },
  };
}

function dial<S extends Socket>(
  reach: () => S,
  prove: (socket: S) => void,
  clock: Clock,
  over: AbortSignal,
): Promise<ClientHttp2Session> {
  return new Promise((resolve, reject) => {
    const socket = reach();
    const stopTimer = clock.after(connectPatience, () => socket.destroy(new Error('nobody answers')));
    const giveUp = (): void => {
      stopTimer();
      socket.destroy(over.reason);
    };
    const end = (): void => {
      stopTimer();
      over.removeEventListener('abort', giveUp);
    };
    over.addEventListener('abort', giveUp);
    if (over.aborted) giveUp();
    socket.once('error', reject);
    socket.once('close', end);
    socket.once(socket instanceof TLSSocket ? 'secureConnect' : 'connect', () => {
      end();
      try {
        prove(socket);
      } catch (thrown) {
        socket.destroy(Failure.from(thrown));
        return;
      }
      const session = openSession('https://anemone-peer', {
        createConnection: () => socket,
        settings: { ...http2Settings, enablePush: false },
      });
      // What breaks it later is told by the streams that it had.
      session.on('error', reject).once('close', () => reject(new Error('closed at once')));
      session.once('connect', () => {
        openWindows(session);
        const hangUp = (): void => {
          session.close();
          // Over a dead link it takes long to be closed, for which nobody has to wait.
          session.unref();
        };
        over.addEventListener('abort', hangUp);
        session.once('close', () => over.removeEventListener('abort', hangUp));
        if (over.aborted) hangUp();
        resolve(session);
      });
    });
  });
}
