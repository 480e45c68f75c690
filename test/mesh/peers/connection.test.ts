import { expect, it } from 'vitest';
import { connectTo } from '../../../src/mesh/peers/connection.js';
import { getNode } from '../../../src/mesh/peers/get-node.js';
import { formatAddress } from '../../../src/mesh/peers/peer.js';
import { systemClock } from '../../../src/mesh/terms/clock.js';
import { throwawayServer } from '../../support/identities.js';
import { freePort } from '../../support/mesh.js';
import { peerConfig, startPeerNode } from '../../support/peer-node.js';
import { openRelay } from '../../support/relay.js';

it('reaches a peer that is back with the next call, however often it failed before', async () => {
  const self = throwawayServer('FR1');
  const node = await startPeerNode({ name: 'FR2', peers: [peerConfig('FR1', self)] });
  const port = await freePort();
  const peer = { name: node.name, address: { host: '127.0.0.1', port }, identity: node.server.identity };
  const connection = connectTo(peer, self, systemClock);
  try {
    for (let attempt = 0; attempt < 3; attempt += 1) {
      await expect(getNode(connection)).rejects.toMatchObject({ kind: 'unreachable' });
    }
    const relay = await openRelay(formatAddress(node.address), port);
    try {
      await expect(getNode(connection)).resolves.toMatchObject({ hostname: 'FR2' });
    } finally {
      await relay.close();
    }
  } finally {
    connection.close();
    await node.stop();
  }
});
