import type { TLSSocket } from 'node:tls';
import { type NodeCertificate, visitorEpoch } from '../../mesh/identity/node-certificate.js';
import { locksOut } from '../../mesh/identity/seen-keys.js';

/**
 * Connections that one node key may have open: a node has up to nine, and each command that a person runs there has two. A
 * stolen key takes none from the one that its server was rebuilt with.
 */
const mostOfOneKey = 64;
/** For all node keys of an identity together: it may issue itself any number of them. */
const mostOfOneIdentity = 2 * mostOfOneKey;

/** The connections of callers that were let in. */
export interface Connections {
  /** @returns null; or how many its caller has already, where that is as many as it may, and this one is not added */
  add(socket: TLSSocket, certificate: NodeCertificate): number | null;
  closeIf(isOver: (certificate: NodeCertificate) => boolean): void;
  all(): Iterable<TLSSocket>;
}

export function openConnections(): Connections {
  const open = new Map<TLSSocket, NodeCertificate>();
  return {
    add(socket, certificate) {
      const ofIdentity = [...open.values()].filter(({ identity }) => identity === certificate.identity);
      const ofKey = ofIdentity.filter(({ fingerprint }) => fingerprint === certificate.fingerprint);
      if (ofKey.length >= mostOfOneKey) return ofKey.length;
      if (ofIdentity.length >= mostOfOneIdentity) return ofIdentity.length;
      open.set(socket, certificate);
      socket.once('close', () => open.delete(socket));
      return null;
    },
    closeIf(isOver) {
      for (const [socket, certificate] of open) if (isOver(certificate)) socket.destroy();
    },
    all: () => open.keys(),
  };
}

/** Whether a newer key locks its bearer out; a visitor is superseded by nobody. */
export function isSuperseded(certificate: NodeCertificate, newest: NodeCertificate): boolean {
  const { identity, epoch } = certificate;
  return identity === newest.identity && epoch !== visitorEpoch && locksOut(newest, certificate);
}
