import type { TLSSocket } from 'node:tls';
import type { NodeCertificate } from '../../mesh/identity/node-certificate.js';
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
  epochs.whenNewer(({ identity }) =>
    closeIf((certificate) => certificate.identity === identity && epochs.isSuperseded(certificate)),
  );
  return {
    add(socket, certificate) {
      open.set(socket, certificate);
      socket.once('close', () => open.delete(socket));
    },
    closeIf,
  };
}
