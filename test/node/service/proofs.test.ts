import { randomBytes } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { hashSize, leafHash, leafSize } from '../../../src/mesh/manifest/digest-tree.js';
import { fetchLeaves } from '../../../src/mesh/peers/fetch-leaves.js';
import { proveBackup } from '../../../src/mesh/peers/prove-backup.js';
import { pushBackup } from '../../../src/mesh/peers/push-backup.js';
import { throwawayServer } from '../../support/identities.js';
import { manifestOf } from '../../support/manifests.js';
import { type PeerNode, peerConfig, startPeerNode } from '../../support/peer-node.js';

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
});
