import { randomBytes, randomInt } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { hashSize, leafSize } from '../../../src/mesh/manifest/digest-tree.js';
import type { Bytes } from '../../../src/mesh/terms/bytes.js';
import { challenge, type Prover } from '../../../src/node/audit/challenge.js';
import { pickLeaves } from '../../../src/node/audit/samples.js';
import { throwawayServer } from '../../support/identities.js';
import { hashesOf, manifestOf } from '../../support/manifests.js';

const count = 40;
const content = randomBytes((count - 1) * leafSize + 123);
const manifest = manifestOf(content, throwawayServer('FR1').signer);
const leafOf = (bytes: Buffer, leaf: number) => bytes.subarray(leaf * leafSize, (leaf + 1) * leafSize);

/** Hashes in pieces that end anywhere. */
async function* pieces(bytes: Uint8Array, size = 50): Bytes & AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

/** A holder that has these bytes, and knows the right hashes whatever it has. */
function holderOf(bytes: Buffer, changes: Partial<Prover> = {}): Prover {
  return {
    leaves: () => pieces(hashesOf(content)),
    async *prove(_, leaves) {
      for (const leaf of leaves) yield leafOf(bytes, leaf);
    },
    ...changes,
  };
}

async function ask(holder: Prover, samples = count) {
  let bytes = 0;
  const received = (more: number): void => {
    bytes += more;
  };
  await challenge(holder, manifest, {
    samples,
    draw: (below) => randomInt(below),
    signal: AbortSignal.timeout(20_000),
    received,
  });
  return bytes;
}

const zeros = Buffer.alloc(content.length);
const firstHalf = Buffer.concat([content.subarray(0, content.length / 2), zeros.subarray(content.length / 2)]);

describe('a proof', () => {
  it('is given by whoever holds the bytes, and costs what was asked for', async () => {
    expect(await ask(holderOf(content), 10)).toBeLessThanOrEqual(count * hashSize + 10 * leafSize);
    expect(await ask(holderOf(content))).toBe(count * hashSize + content.length);
  });

  const hostile: Record<string, Prover> = {
    'keeps only the first half': holderOf(firstHalf),
    'sends zeros': holderOf(zeros),
    'sends leaves of another place': holderOf(content, {
      async *prove(_, leaves) {
        for (const leaf of leaves) yield leafOf(content, (leaf + 1) % count);
      },
    }),
    'makes up hashes that fit its bytes': holderOf(zeros, { leaves: () => pieces(hashesOf(zeros)) }),
    'sends fewer hashes': holderOf(content, { leaves: () => pieces(hashesOf(content).subarray(hashSize)) }),
    'sends more hashes': holderOf(content, {
      leaves: () => pieces(Buffer.concat([hashesOf(content), zeros.subarray(0, 32)])),
    }),
    'ends in the middle of a hash': holderOf(content, { leaves: () => pieces(hashesOf(content).subarray(0, -1)) }),
    'sends hashes without end': holderOf(content, {
      async *leaves() {
        for (;;) yield zeros.subarray(0, 1000 * hashSize);
      },
    }),
    'sends nothing': holderOf(content, { async *prove() {} }),
    'sends fewer leaves': holderOf(content, {
      async *prove(_, leaves) {
        for (const leaf of leaves.slice(1)) yield leafOf(content, leaf);
      },
    }),
    'sends leaves without end': holderOf(content, {
      async *prove(_, leaves) {
        for (const leaf of leaves) yield leafOf(content, leaf);
        for (;;) yield leafOf(content, 0);
      },
    }),
    'sends short leaves': holderOf(content, {
      async *prove(_, leaves) {
        for (const leaf of leaves) yield leafOf(content, leaf).subarray(1);
      },
    }),
  };

  it.each(Object.entries(hostile))('is not given by one that %s', async (_, holder) => {
    await expect(ask(holder)).rejects.toMatchObject({ kind: 'damaged' });
  });

  it('finds a loss of 1 % with 460 samples in 99 of 100 cases', () => {
    const leaves = 16_384;
    const lost = new Set(pickLeaves(leaves, 164, (below) => randomInt(below)));
    const found = Array.from({ length: 2000 }, () =>
      pickLeaves(leaves, 460, (below) => randomInt(below)).some((leaf) => lost.has(leaf)),
    );
    expect(found.filter(Boolean).length).toBeGreaterThan(1950);
  });
});

describe('the picked leaves', () => {
  it('are as many as wanted, each once, in order, and all where there are fewer', () => {
    for (const [leaves, wanted, expected] of [
      [1000, 460, 460],
      [3, 460, 3],
      [1, 1, 1],
      [7, 0, 0],
    ] as const) {
      const picked = pickLeaves(leaves, wanted, (below) => randomInt(below));
      expect(picked).toHaveLength(expected);
      expect(picked).toEqual([...new Set(picked)].sort((a, b) => a - b));
      expect(picked.every((leaf) => leaf >= 0 && leaf < leaves)).toBe(true);
    }
  });
});
