import type { ServerIdentity } from '../identity/server-identity.js';
import type { Clock } from '../terms/clock.js';
import type { Hostname } from '../terms/hostname.js';
import { type Connection, connectTo, type Meet } from './connection.js';
import type { Peer } from './peer.js';

/** The connections to all peers of this moment, one each. */
export interface Pool {
  /** @returns the connection to every peer; one whose peer did not change stays the same */
  follow(peers: readonly Peer[]): readonly Connection[];
  close(): void;
}

export function openPool(self: ServerIdentity, clock: Clock, meet: Meet): Pool {
  let connections = new Map<Hostname, Connection>();
  const options = { meet, known: () => [...connections.values()].map(({ peer }) => peer) };
  return {
    follow(peers) {
      const next = new Map<Hostname, Connection>();
      for (const peer of peers) {
        const current = connections.get(peer.name);
        next.set(
          peer.name,
          current !== undefined && isSame(current.peer, peer) ? current : connectTo(peer, self, clock, options),
        );
      }
      for (const [name, connection] of connections) if (next.get(name) !== connection) connection.close();
      connections = next;
      return [...next.values()];
    },
    close() {
      for (const connection of connections.values()) connection.close();
      connections.clear();
    },
  };
}

function isSame(a: Peer, b: Peer): boolean {
  return a.identity === b.identity && a.address.host === b.address.host && a.address.port === b.address.port;
}
