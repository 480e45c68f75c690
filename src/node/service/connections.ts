import type { TLSSocket } from 'node:tls';
import { type NodeCertificate, visitorEpoch } from '../../mesh/identity/node-certificate.js';

/**
 * Connections that one node key may have open: a node has up to nine, and each command that a person runs there has two. A
 * stolen key takes none from the one that its server was rebuilt with.
 */
export const mostOfOneKey = 64;

/** The connections of callers that were let in. */
export interface Connections {
  /** @returns false when the node key has as many as it may */
  add(socket: TLSSocket, certificate: NodeCertificate): boolean;
  closeIf(isOver: (certificate: NodeCertificate) => boolean): void;
  all(): Iterable<TLSSocket>;
}

export function openConnections(): Connections {
  const open = new Map<TLSSocket, NodeCertificate>();
  return {
    add(socket, certificate) {
      const others = [...open.values()].filter(({ fingerprint }) => fingerprint === certificate.fingerprint);
      if (others.length >= mostOfOneKey) return false;
      open.set(socket, certificate);
      socket.once('close', () => open.delete(socket));
      return true;
    },
    closeIf(isOver) {
      for (const [socket, certificate] of open) if (isOver(certificate)) socket.destroy();
    },
    all: () => open.keys(),
  };
}

/** Whether a newer key locks its bearer out; a visitor is superseded by nobody. */
export function isSuperseded({ identity, epoch, fingerprint }: NodeCertificate, newest: NodeCertificate): boolean {
  const isOther = identity === newest.identity && fingerprint !== newest.fingerprint;
  return isOther && epoch <= newest.epoch && epoch !== visitorEpoch;
}
