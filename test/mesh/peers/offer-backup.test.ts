import { randomBytes } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { SignedReceipt } from '../../../src/mesh/generated/anemone/backup/v1/backup.js';
import { signReceipt } from '../../../src/mesh/manifest/receipt.js';
import { type Connection, connectTo } from '../../../src/mesh/peers/connection.js';
import { offerBackup } from '../../../src/mesh/peers/offer-backup.js';
import { systemClock } from '../../../src/mesh/terms/clock.js';
import { type HostilePeer, startHostilePeer } from '../../support/hostile-peer.js';
import { throwawayServer } from '../../support/identities.js';
import { manifestOf } from '../../support/manifests.js';

const self = throwawayServer('FR1');
const manifest = manifestOf(randomBytes(1000), self.signer);
let given: SignedReceipt;
let peer: HostilePeer;
let connection: Connection;
beforeEach(async () => {
  peer = await startHostilePeer('DE1', self, () => ({ list: () => [], fetch: () => [], receipt: () => given }));
  connection = connectTo(peer.peer, self, systemClock);
});
afterEach(async () => {
  connection.close();
  await peer.stop();
});

const receiptOf = (manifestDigest: Buffer, by = peer.server) =>
  signReceipt({ manifestDigest, receivedAt: 1 }, by.signer);

describe('the receipt that answers an offer', () => {
  it('counts when the peer signed it for this very backup', async () => {
    given = receiptOf(manifest.digest);
    expect(await offerBackup(connection, manifest)).toEqual({ held: given });
  });

  it.each<[string, () => SignedReceipt]>([
    ['of another server', () => receiptOf(manifest.digest, throwawayServer('DE1'))],
    ['for another backup', () => receiptOf(randomBytes(32))],
    ['with the signature of another', () => ({ ...receiptOf(manifest.digest), signature: randomBytes(64) })],
  ])('%s is refused, and the peer is named', async (_what, forge) => {
    given = forge();
    await expect(offerBackup(connection, manifest)).rejects.toMatchObject({
      kind: 'untrusted',
      message: expect.stringMatching(/^DE1 \(127\.0\.0\.1:\d+\) sent a receipt for anemone-backup-FR1-/),
    });
  });
});
