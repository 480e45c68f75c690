import type { TLSSocket } from 'node:tls';
import { type NodeCertificate, visitorEpoch } from '../../mesh/identity/node-certificate.js';
import { locksOut } from '../../mesh/identity/seen-keys.js';
import type { Epochs } from './epochs.js';

/** Open connections, and what the other side of each has proven. One with a node key that is superseded is closed. */
export interface Connections {
  add(socket: TLSSocket, certificate: NodeCertificate): void;
  closeIf(isOver: (certificate: NodeCertificate) => boolean): void;
}

export function openConnections(epochs: Epochs): Connections {
  const open = new Map<TLSSocket, NodeCertificate>();
  const closeIf: Connections['closeIf'] = (isOver) => {
    for (const [socket, certificate] of open) if (isOver(certificate)) socket.destroy();
  };
  epochs.whenNewer((newest) => closeIf((certificate) => isSuperseded(certificate, newest)));
  return {
    add(socket, certificate) {
      open.set(socket, certificate);
      socket.once('close', () => open.delete(socket));
    },
    closeIf,
  };
}

/** Whether a newer key locks its bearer out; a visitor is superseded by nobody. */
function isSuperseded(certificate: NodeCertificate, newest: NodeCertificate): boolean {
  const { identity, epoch } = certificate;
  return identity === newest.identity && epoch !== visitorEpoch && locksOut(newest, certificate);
}
