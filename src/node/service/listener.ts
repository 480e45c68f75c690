import { createServer as createDoor, type Socket } from 'node:net';
import { createServer, type TLSSocket } from 'node:tls';
import type { Identity } from '../../mesh/identity/identity.js';
import type { ServerIdentity } from '../../mesh/identity/server-identity.js';
import { callerOf, listenerOptions } from '../../mesh/identity/trust.js';
import { type Address, formatAddress } from '../../mesh/terms/address.js';
import type { Clock } from '../../mesh/terms/clock.js';
import { Failure } from '../../mesh/terms/failure.js';
import type { CallServer } from './call-server.js';
import { openConnections } from './connections.js';
import { closeDoor, openDoor } from './door.js';
import type { Epochs } from './epochs.js';
import { openHandshakes } from './handshakes.js';
import { openShares } from './shares.js';
import type { ThrottledLog } from './throttled-log.js';

/** Connections that one node key may have open: a node has up to nine, and each command that a person runs there has two. */
const mostOfOneKey = 64;

/** The port that peers call. Others are cut off after the handshake; who is a peer can change while it listens. */
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
  readonly server: CallServer;
  /** Connections with a key that is superseded while they are open are closed. */
  readonly epochs: Epochs;
  readonly clock: Clock;
  readonly log: ThrottledLog;
}

/** @throws Failure `config` when the address cannot be listened on */
export async function listen(options: ListenerOptions): Promise<Listener> {
  const { self, address, trusted, server, epochs, clock, log } = options;
  const connections = openConnections(epochs);
  const shares = openShares(mostOfOneKey);
  const handshakes = openHandshakes();
  let allowed = new Set<string>(trusted);

  const refuse = (socket: Socket, reason: string, crowd?: string): void => {
    const from = socket.remoteAddress;
    socket.destroy();
    if (crowd === undefined) log.again(`stranger ${from}`, 'warn', 'stranger refused', { from, reason });
    else log.again(`crowd ${crowd}`, 'warn', 'connection refused', { from, reason });
  };

  const admit = (socket: TLSSocket): void => {
    const certificate = callerOf(socket, allowed);
    if (socket.alpnProtocol !== 'h2') throw new Failure('untrusted', 'does not speak HTTP/2');
    const { identity, fingerprint } = certificate;
    // Two keys that were stolen would else keep the one that supersedes them out.
    const crowd = epochs.isSuperseded(certificate) ? `${identity} with a superseded key` : identity;
    const leave = shares.take(fingerprint, crowd);
    if (typeof leave === 'number') {
      refuse(socket, `the peer ${crowd} has ${leave} connections already`, crowd);
      return;
    }
    socket.once('close', leave);
    connections.add(socket, certificate);
    server.serve(socket, { from: `${socket.remoteAddress}:${socket.remotePort}`, certificate, crowd }, clock);
  };
  const listener = createServer(listenerOptions(self), (socket) => {
    const from = socket.remoteAddress;
    socket.on('error', (error) => log.debug('connection broke', { from, reason: error.message }));
    handshakes.end(socket);
    try {
      admit(socket);
    } catch (thrown) {
      refuse(socket, Failure.from(thrown).message);
    }
  });
  // Node tells of a handshake that failed, or took too long, and leaves the socket open. One that has no address any more
  // was closed before, by its caller or by us.
  listener.on('tlsClientError', (error, socket) => {
    if (socket.remoteAddress === undefined) socket.destroy();
    else refuse(socket, `the handshake failed: ${error.message}`);
  });
  const door = createDoor((socket) => {
    const slowest = handshakes.begin(socket);
    if (slowest !== undefined)
      refuse(slowest, 'had not proven who it is, and too many callers of its address were waiting');
    listener.emit('connection', socket);
  });
  await openDoor(door, address, formatAddress(address), hintOf);

  return {
    address,
    trust(identities) {
      allowed = new Set(identities);
      connections.closeIf(({ identity }) => !allowed.has(identity));
    },
    async close(graceMs) {
      handshakes.breakOff();
      await closeDoor(door, server, graceMs, clock);
    },
  };
}

/** What to do where the address cannot be listened on. */
function hintOf(code: string | undefined): string {
  return code === 'EADDRNOTAVAIL'
    ? 'This machine has no such address. Is the VPN up? If this server has another address now, write that to `server.listen`, ' +
        'and give it to `anemone-peer peer add` on every other server.'
    : 'Is another node running? `server.listen` of the configuration names the address.';
}
