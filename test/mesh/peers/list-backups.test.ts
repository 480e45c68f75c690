import { afterEach, beforeEach, expect, it } from 'vitest';
import type { HeldBackup } from '../../../src/mesh/generated/anemone/backup/v1/backup.js';
import { type Connection, connectTo } from '../../../src/mesh/peers/connection.js';
import { listBackups } from '../../../src/mesh/peers/list-backups.js';
import { systemClock } from '../../../src/mesh/terms/clock.js';
import { type HostilePeer, startHostilePeer } from '../../support/hostile-peer.js';
import { throwawayServer } from '../../support/identities.js';

const self = throwawayServer('FR1');
const all = { owner: '', set: '' };
let shown: HeldBackup[];
let peer: HostilePeer;
let connection: Connection;
beforeEach(async () => {
  peer = await startHostilePeer('DE1', self, () => ({ list: () => shown, fetch: () => [] }));
  connection = connectTo(peer.peer, self, systemClock);
});
afterEach(async () => {
  connection.close();
  await peer.stop();
});

const empty: HeldBackup = { manifest: undefined, receipt: undefined };

it('takes a long list', async () => {
  shown = new Array(100_000).fill(empty);
  await expect(listBackups(connection, all)).resolves.toHaveLength(100_000);
});

it('gives up on a list without an end, and names the peer', async () => {
  shown = new Array(100_001).fill(empty);
  await expect(listBackups(connection, all)).rejects.toMatchObject({
    kind: 'invalid',
    message: expect.stringContaining('DE1 (127.0.0.1:'),
  });
});
