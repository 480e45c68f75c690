import { randomBytes } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { hashSize, leafHash, leafSize } from '../../../src/mesh/manifest/digest-tree.js';
import { fetchLeaves } from '../../../src/mesh/peers/fetch-leaves.js';
import { proveBackup } from '../../../src/mesh/peers/prove-backup.js';
import { pushBackup } from '../../../src/mesh/peers/push-backup.js';
import { proveBackup as answerProof } from '../../../src/node/service/prove-backup.js';
import { throwawayServer } from '../../support/identities.js';
import { manifestOf } from '../../support/manifests.js';
import { type PeerNode, peerConfig, startPeerNode } from '../../support/peer-node.js';
import { faultyDisk } from '../vault/faulty-disk.js';
import { backupOfFR2, push } from '../vault/fixture.js';
import { temporaryVault } from '../vault/temporary-vault.js';

const [owner, stranger] = [throwawayServer('FR1'), throwawayServer('US1')];
const content = randomBytes(4 * leafSize + 5);
const manifest = manifestOf(content, owner.signer);
const { name } = manifest.facts;
const leafOf = (leaf: number) => content.subarray(leaf * leafSize, (leaf + 1) * leafSize);

let node: PeerNode;
beforeEach(async () => {
  node = await startPeerNode({ peers: [peerConfig('FR1', owner), peerConfig('US1', stranger)] });
  async function* read(offset: number, length: number) {
    yield content.subarray(offset, offset + length);
  }
  await pushBackup(node.callAs(owner), manifest, { read });
});
afterEach(() => node.stop());

async function all(stream: AsyncIterable<Uint8Array>): Promise<Buffer[]> {
  const parts: Buffer[] = [];
  for await (const part of stream) parts.push(Buffer.from(part));
  return parts;
}

describe('the leaves that a peer holds', () => {
  it('are hashed in order', async () => {
    const hashes = Buffer.concat(await all(fetchLeaves(node.callAs(owner), name)));
    expect(hashes.length).toBe(5 * hashSize);
    expect(hashes).toEqual(Buffer.concat([0, 1, 2, 3, 4].map((leaf) => leafHash(leafOf(leaf)))));
  });

  it('are hashed from one of them on for whoever has the hashes before it, however often', async () => {
    const hashes = Buffer.concat([0, 1, 2, 3, 4].map((leaf) => leafHash(leafOf(leaf))));
    const from = (first: number) => all(fetchLeaves(node.callAs(owner), name, { first }));
    // None are kept of a backup that came whole, until they were asked for from the start.
    for (const first of [4, 2, 0, 2, 4]) expect(Buffer.concat(await from(first))).toEqual(hashes.subarray(first * 32));
    await expect(from(5)).rejects.toMatchObject({ kind: 'invalid', message: expect.stringContaining('has no leaf 5') });
    await expect(from(Number.MAX_SAFE_INTEGER)).rejects.toMatchObject({ kind: 'invalid' });
  });

  it('are hashed also for a peer that names the digest of the manifest', async () => {
    const other = node.callAs(stranger);
    const hashes = Buffer.concat(await all(fetchLeaves(other, name, { manifestDigest: manifest.digest })));
    expect(hashes).toEqual(Buffer.concat(await all(fetchLeaves(node.callAs(owner), name))));
    await expect(all(fetchLeaves(other, name, { manifestDigest: randomBytes(32) }))).rejects.toMatchObject({
      kind: 'not-found',
    });
  });

  it('come as they were asked for, the short last one too', async () => {
    const leaves = await all(proveBackup(node.callAs(owner), name, [4, 0, 2, 0]));
    expect(leaves.map((leaf) => leaf.length)).toEqual([5, leafSize, leafSize, leafSize]);
    for (const [index, leaf] of [4, 0, 2, 0].entries()) expect(leaves[index]?.equals(leafOf(leaf))).toBe(true);
  });

  it.each([
    ['an index beyond the end', [5]],
    ['an index that no file has', [Number.MAX_SAFE_INTEGER]],
    ['more than a thousand', Array.from({ length: 1001 }, () => 0)],
  ])('are refused for %s', async (_, leaves) => {
    await expect(all(proveBackup(node.callAs(owner), name, leaves))).rejects.toMatchObject({ kind: 'invalid' });
  });

  it('are no business of another peer: it cannot tell them from none', async () => {
    const other = node.callAs(stranger);
    await expect(all(fetchLeaves(other, name))).rejects.toMatchObject({ kind: 'not-found' });
    await expect(all(proveBackup(other, name, [0]))).rejects.toMatchObject({ kind: 'not-found' });
  });

  it('are not called gone while the node itself may not read them', async () => {
    const fixture = await temporaryVault();
    const kept = backupOfFR2(content);
    await push(await fixture.open(), kept, content);
    const faulty = faultyDisk();
    faulty.fail('EACCES', (call) => faulty.calls[call] === 'openSync');
    const vault = await fixture.open({ disk: faulty.disk });
    const asked = { name: kept.facts.name, leaves: [0] };
    await expect(answerProof(vault, asked, () => true).next()).rejects.toMatchObject({
      kind: 'failed',
      hint: expect.stringContaining('let the user of the node read it'),
    });
    await expect(answerProof(vault, asked, () => false).next()).rejects.toMatchObject({ kind: 'not-found' });
  });
});
