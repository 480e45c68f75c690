import { createServer, type TLSSocket } from 'node:tls';
import { type Server, ServerCredentials } from '@grpc/grpc-js';
import type { Address } from '../../mesh/config/config.js';
import type { Identity } from '../../mesh/identity/identity.js';
import type { ServerIdentity } from '../../mesh/identity/server-identity.js';
import { callerOf, listenerOptions, secureContext } from '../../mesh/identity/trust.js';
import { Failure } from '../../mesh/terms/failure.js';
import type { Log } from '../../mesh/terms/log.js';
import { withServerWindows } from '../../mesh/wire/server-windows.js';

/** The port that peers call. Only they get through the handshake; who is a peer can change while it listens. */
export interface Listener {
  readonly address: Address;
  /** From now on lets these in, and no others; connections of an identity that is not among them are closed. */
  trust(identities: readonly Identity[]): void;
  /** Stops accepting, lets running calls end for `graceMs` milliseconds, and closes what is left. */
  close(graceMs: number): Promise<void>;
}

export interface ListenerOptions {
  readonly self: ServerIdentity;
  readonly address: Address;
  readonly trusted: readonly Identity[];
  /** Has its services already. */
  readonly server: Server;
  readonly log: Log;
}

/** @throws Failure `config` when the address cannot be listened on */
export async function listen({ self, address, trusted, server, log }: ListenerOptions): Promise<Listener> {
  const injector = withServerWindows(() => server.createConnectionInjector(ServerCredentials.createInsecure()));
  const sockets = new Map<TLSSocket, Identity>();
  let allowed = new Set<string>(trusted);

  const admit = (socket: TLSSocket): void => {
    const identity = callerOf(socket);
    if (!allowed.has(identity)) throw new Failure('untrusted', `is ${identity}, which is no peer of this server`);
    if (socket.alpnProtocol !== 'h2') throw new Failure('untrusted', 'does not speak HTTP/2');
    sockets.set(socket, identity);
    socket.once('close', () => sockets.delete(socket));
    injector.injectConnection(socket);
  };
  const listener = createServer(listenerOptions(self, trusted), (socket) => {
    const from = socket.remoteAddress;
    socket.on('error', (error) => log.debug('connection broke', { from, reason: error.message }));
    try {
      admit(socket);
    } catch (thrown) {
      socket.destroy();
      log.warn('stranger refused', { from, reason: Failure.from(thrown).message });
    }
  });
  listener.on('tlsClientError', (error) => log.debug('handshake failed', { reason: error.message }));
  await bind(listener, address);

  return {
    address,
    trust(identities) {
      allowed = new Set(identities);
      listener.setSecureContext(secureContext(self, identities));
      for (const [socket, identity] of sockets) if (!allowed.has(identity)) socket.destroy();
    },
    async close(graceMs) {
      const closed = new Promise<void>((resolve) => listener.close(() => resolve()));
      injector.drain(graceMs);
      await closed;
      injector.destroy();
    },
  };
}

function bind(listener: ReturnType<typeof createServer>, { host, port }: Address): Promise<void> {
  return new Promise((resolve, reject) => {
    listener.once('error', (cause) => {
      const hint = 'Is another node running? Is the VPN up? `server.listen` of the configuration names the address.';
      reject(new Failure('config', `cannot listen on ${host}:${port}: ${cause.message}`, { cause, hint }));
    });
    listener.listen({ host, port }, () => {
      listener.removeAllListeners('error');
      listener.on('error', () => {});
      resolve();
    });
  });
}
