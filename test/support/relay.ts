import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';

/** A stretch of network between a client and a server on 127.0.0.1, which a test can measure and cut. */
export interface Relay {
  /** What a client calls instead of the server: `127.0.0.1:12345`. */
  readonly address: string;
  /** Bytes that clients sent so far. */
  sent(): number;
  /** Connections that are open now. */
  open(): number;
  /** Resolves when clients have sent so many bytes. */
  untilSent(bytes: number): Promise<void>;
  /** From here on nothing comes back, while everything still goes there. */
  mute(): void;
  /** Takes nothing more from anybody once clients have sent so many bytes. Resolves then. */
  swallowAfter(bytes: number): Promise<void>;
  /**
   * What comes over connections from before is answered as by a machine that was started again, which knows of none, or as by
   * one that is off: not at all. Later ones work.
   */
  forget(silently: boolean): void;
  /** Ends the connection over which so many bytes come back, after them, as a node does that is stopped; later ones work. */
  endAfter(bytes: number): void;
  /** Once so many more bytes came back, cuts all connections, and is not there for so many milliseconds. */
  awayAfter(bytes: number, ms: number): void;
  /** Bytes that come back until a client of TLS may speak. They differ by version of Node.js: the key exchange does. */
  handshakeSize(): Promise<number>;
  /** Cuts all connections; later ones work. */
  cut(): void;
  close(): Promise<void>;
}

/**
 * @param target the server, as `127.0.0.1:12345`
 * @param at the port where the relay listens; 0 for any
 */
export async function openRelay(target: string, at = 0): Promise<Relay> {
  const pairs = new Set<readonly [Socket, Socket]>();
  const waiting = new Set<() => void>();
  let sent = 0;
  let muted = false;
  let mostSent = Number.POSITIVE_INFINITY;
  let swallowed = (): void => {};
  /** Whether clients hear nothing of it that their connection is forgotten. */
  const forgotten = new Map<Socket, boolean>();
  let returned = 0;
  let mostReturned = Number.POSITIVE_INFINITY;
  let away = { after: Number.POSITIVE_INFINITY, ms: 0 };
  let comeBack: NodeJS.Timeout | undefined;
  const server = createServer((near) => {
    const far = connect({ host: '127.0.0.1', port: Number(target.split(':')[1]) });
    const pair = [near, far] as const;
    pairs.add(pair);
    let mine = 0;
    near.on('data', (chunk) => {
      if (forgotten.get(near) === false) near.resetAndDestroy();
      if (forgotten.has(near)) return;
      sent += chunk.length;
      for (const look of waiting) look();
      if (!far.write(chunk)) {
        near.pause();
        far.once('drain', () => near.resume());
      }
      if (sent < mostSent) return;
      far.removeAllListeners('drain');
      for (const socket of [...pairs].flat()) socket.pause();
      swallowed();
    });
    far.on('data', (chunk) => {
      if (muted || forgotten.has(near) || near.writableEnded) return;
      returned += chunk.length;
      if (returned > away.after) {
        away.after = Number.POSITIVE_INFINITY;
        server.close();
        comeBack = setTimeout(() => server.listen(port, '127.0.0.1'), away.ms);
        cut();
        return;
      }
      if (mine + chunk.length < mostReturned) {
        mine += chunk.length;
        near.write(chunk);
      } else {
        near.end(chunk.subarray(0, mostReturned - mine));
        mostReturned = Number.POSITIVE_INFINITY;
      }
    });
    for (const socket of pair) socket.on('error', () => {}).on('close', () => pairs.delete(pair));
    // What a client sent before it went away still arrives; a server that went away hears and says nothing more.
    near.on('close', () => far.end());
    far.on('close', () => near.destroy());
  });
  server.listen(at, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  const cut = (): void => {
    for (const sockets of pairs) for (const socket of sockets) socket.destroy();
    muted = false;
  };
  return {
    address: `127.0.0.1:${port}`,
    sent: () => sent,
    open: () => pairs.size,
    untilSent: (bytes) =>
      new Promise((resolve) => {
        const look = (): void => {
          if (sent < bytes) return;
          waiting.delete(look);
          resolve();
        };
        waiting.add(look);
        look();
      }),
    mute() {
      muted = true;
    },
    swallowAfter: (bytes) =>
      new Promise((resolve) => {
        mostSent = bytes;
        swallowed = resolve;
      }),
    forget(silently) {
      for (const [near] of pairs) forgotten.set(near, silently);
    },
    endAfter(bytes) {
      mostReturned = bytes;
    },
    awayAfter(bytes, ms) {
      away = { after: returned + bytes, ms };
    },
    async handshakeSize() {
      const before = returned;
      const socket = connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false, ALPNProtocols: ['h2'] });
      await once(socket, 'secureConnect');
      const size = returned - before;
      socket.on('error', () => {}).destroy();
      return size;
    },
    cut,
    async close() {
      clearTimeout(comeBack);
      const closed = new Promise((resolve) => server.close(resolve));
      cut();
      await closed;
    },
  };
}
