import { createHash, randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { DigestTree, FileDigest, leafHash, leafSize } from '../../../src/mesh/manifest/digest-tree.js';

const sha256 = (...parts: Uint8Array[]): Buffer => createHash('sha256').update(Buffer.concat(parts)).digest();

/** RFC 9162, section 2.1.1, word for word: split at the largest power of two below the count. */
function rootByDefinition(leaves: readonly Buffer[]): Buffer {
  const [first] = leaves;
  if (first === undefined) return sha256();
  if (leaves.length === 1) return sha256(Buffer.from([0]), first);
  let split = 1;
  while (split * 2 < leaves.length) split *= 2;
  return sha256(Buffer.from([1]), rootByDefinition(leaves.slice(0, split)), rootByDefinition(leaves.slice(split)));
}

describe('a digest tree', () => {
  it('has the root that RFC 9162 defines, for every count of leaves up to 130', () => {
    const leaves = Array.from({ length: 130 }, (_, index) => Buffer.from([index]));
    for (let count = 0; count <= leaves.length; count += 1) {
      const tree = new DigestTree();
      for (const leaf of leaves.slice(0, count)) tree.addLeaf(leafHash(leaf));
      expect(tree.root()).toEqual(rootByDefinition(leaves.slice(0, count)));
    }
  });

  it('has the roots of the test vectors of Certificate Transparency', () => {
    const tree = new DigestTree();
    const vectors = [
      ['', '6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d'],
      ['00', 'fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125'],
      ['10', 'aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77'],
      ['2021', 'd37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7'],
    ];
    for (const [leaf = '', root] of vectors) {
      tree.addLeaf(leafHash(Buffer.from(leaf, 'hex')));
      expect(tree.root().toString('hex')).toBe(root);
    }
  });

  it('changes its root when two leaves change places', () => {
    const [a, b] = [leafHash(randomBytes(10)), leafHash(randomBytes(10))];
    const [one, other] = [new DigestTree(), new DigestTree()];
    for (const hash of [a, b]) one.addLeaf(hash);
    for (const hash of [b, a]) other.addLeaf(hash);
    expect(one.root()).not.toEqual(other.root());
  });
});

describe('the digest of a file', () => {
  const sizes = [0, 1, leafSize - 1, leafSize, leafSize + 1, 3 * leafSize, 5 * leafSize + 17];
  const chunkings = [1000, leafSize - 1, leafSize, leafSize + 1, 10 * leafSize];

  it.each(sizes)('of %i bytes does not depend on how they are cut into chunks', (size) => {
    const content = randomBytes(size);
    const leaves = Array.from({ length: Math.ceil(size / leafSize) }, (_, index) =>
      content.subarray(index * leafSize, (index + 1) * leafSize),
    );
    for (const chunking of chunkings) {
      const digest = new FileDigest();
      for (let at = 0; at < size; at += chunking) digest.update(content.subarray(at, at + chunking));
      expect(digest.finish()).toEqual({ size, sha256: sha256(content), treeRoot: rootByDefinition(leaves) });
    }
  });
});
