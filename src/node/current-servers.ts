import type { NodeCertificate } from '../mesh/identity/node-certificate.js';
import { refuseSuperseded } from '../mesh/identity/seen-keys.js';
import type { Meet } from '../mesh/peers/connection.js';
import { Failure } from '../mesh/terms/failure.js';
import type { Hostname } from '../mesh/terms/hostname.js';
import type { Log } from '../mesh/terms/log.js';
import { openConnections } from './service/connections.js';
import type { Epochs } from './service/epochs.js';

/**
 * Sees to it that calls reach what a peer is now, and no machine with an older node key of it: not at a new connection, and not
 * over one that is open when a newer key is seen. A newer key that answers is remembered as one that calls is: only the recovery
 * key can make one.
 */
export function currentServers(epochs: Epochs, log: Log): Meet {
  const connections = openConnections(epochs);
  const remember = (certificate: NodeCertificate, name: Hostname): Promise<boolean> =>
    epochs.admit(certificate, name).catch((thrown) => {
      log.warn('node key not remembered', { peer: name, reason: Failure.from(thrown).message });
      return true;
    });
  return (peer, certificate, socket) => {
    refuseSuperseded(peer, certificate, epochs.newest(peer.identity));
    connections.add(socket, certificate);
    void remember(certificate, peer.name).then((isCurrent) => {
      if (!isCurrent) socket.destroy();
    });
  };
}
