import { expect, it } from 'vitest';
import { hashSize } from '../../../src/mesh/manifest/digest-tree.js';
import { connectTo } from '../../../src/mesh/peers/connection.js';
import { fetchLeaves } from '../../../src/mesh/peers/fetch-leaves.js';
import { systemClock } from '../../../src/mesh/terms/clock.js';
import { garbage, startHostilePeer } from '../../support/hostile-peer.js';
import { throwawayServer } from '../../support/identities.js';

it('leaves out what a peer of version 0.1.0 sends, which begins with the first hash whatever it is asked for', async () => {
  const self = throwawayServer('FR1');
  const hashes = garbage(10 * hashSize);
  const pieces = [hashes.subarray(0, 100), hashes.subarray(100, 250), hashes.subarray(250)];
  const peer = await startHostilePeer('DE1', self, () => ({ list: () => [], fetch: () => [], leaves: () => pieces }));
  const connection = connectTo(peer.peer, self, systemClock);
  try {
    for (const first of [0, 3, 7, 9]) {
      const sent: Uint8Array[] = [];
      for await (const part of fetchLeaves(connection, 'a backup', { first })) sent.push(part);
      expect(Buffer.concat(sent)).toEqual(hashes.subarray(first * hashSize));
    }
  } finally {
    connection.close();
    await peer.stop();
  }
});
