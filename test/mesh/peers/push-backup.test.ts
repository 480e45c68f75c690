import { randomBytes } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { SignedReceipt } from '../../../src/mesh/generated/anemone/backup/v1/backup.js';
import type { Range } from '../../../src/mesh/generated/anemone/peer/v1/peer.js';
import { leafSize } from '../../../src/mesh/manifest/digest-tree.js';
import type { VerifiedManifest } from '../../../src/mesh/manifest/manifest.js';
import type { ChannelCount } from '../../../src/mesh/peers/channel-count.js';
import { type Connection, connectTo } from '../../../src/mesh/peers/connection.js';
import { pushBackup } from '../../../src/mesh/peers/push-backup.js';
import { formatAddress, parseAddress } from '../../../src/mesh/terms/address.js';
import { systemClock } from '../../../src/mesh/terms/clock.js';
import { flipped } from '../../support/flip-bit.js';
import { startHostilePeer } from '../../support/hostile-peer.js';
import { throwawayServer } from '../../support/identities.js';
import { manifestOf } from '../../support/manifests.js';
import { type PeerNode, peerConfig, startPeerNode } from '../../support/peer-node.js';
import { openRelay, type Relay } from '../../support/relay.js';

const mib = 2 ** 20;
const content = randomBytes(24 * mib + 1000);
const self = throwawayServer('FR1');
const manifest: VerifiedManifest = manifestOf(content, self.signer);

let node: PeerNode;
/** The way of the first connection, and that of all others. */
let first: Relay;
let others: Relay;
let connections: Connection[];

beforeEach(async () => {
  node = await startPeerNode({ name: 'FR2', peers: [peerConfig('FR1', self)] });
  first = await openRelay(formatAddress(node.address));
  others = await openRelay(formatAddress(node.address));
  connections = [];
});
afterEach(async () => {
  for (const connection of connections) connection.close();
  await Promise.all([first.close(), others.close()]);
  await node.stop();
});

/** A connection to the node that uses as many channels for a large push as the test says. */
function connect(channelCount: ChannelCount): Connection {
  const [near, far] = [first, others].map(({ address }) =>
    connectTo({ name: node.name, address: parseAddress(address), identity: node.server.identity }, self, systemClock),
  ) as [Connection, Connection];
  connections.push(near, far);
  return { ...near, channelCount, openBulk: far.openBulk };
}

function fixed(wanted: number): ChannelCount {
  return { wanted, begin: () => () => {}, sent() {} };
}

async function* chunksOf(bytes: Buffer, offset: number, length: number): AsyncGenerator<Buffer> {
  for (let at = offset; at < offset + length; at += 2 ** 18)
    yield bytes.subarray(at, Math.min(at + 2 ** 18, offset + length));
}

const read = (offset: number, length: number) => chunksOf(content, offset, length);

/** Bytes that the node has written of what it does not hold yet. */
async function bytesKept(): Promise<number> {
  const part = join(node.data, '.incoming', `${manifest.digest.toString('hex')}.part`);
  return 512 * (await stat(part)).blocks;
}

async function isHeldWhole(): Promise<boolean> {
  return content.equals(await readFile(join(node.data, 'FR1', manifest.facts.name)));
}

describe('a push to a peer', () => {
  /** Of 20 leaves, the last of which is short. */
  const small = content.subarray(0, 19 * leafSize + 1000);
  let offers: number;

  /** Offers to a peer that answers with these ranges; the answers are counted. */
  async function pushWhere(missing: (offer: number) => readonly Range[]): Promise<SignedReceipt> {
    offers = 0;
    const peer = await startHostilePeer('DE1', self, () => ({
      list: () => [],
      fetch: () => [],
      missing: () => missing(offers++),
    }));
    const connection = connectTo(peer.peer, self, systemClock);
    try {
      return await pushBackup(connection, manifestOf(small, self.signer), { read });
    } finally {
      connection.close();
      await peer.stop();
    }
  }

  it.each<[string, readonly Range[]]>([
    ['nothing', []],
    ['what is behind its end', [{ offset: 2 ** 40, length: leafSize }]],
    ['more than it has', [{ offset: 0, length: 20 * leafSize }]],
    ['half a leaf', [{ offset: 0, length: leafSize / 2 }]],
    ['what begins in a leaf', [{ offset: 1000, length: leafSize }]],
    ['nothing of a leaf', [{ offset: 0, length: 0 }]],
    [
      'a part of it twice',
      [
        { offset: 0, length: leafSize },
        { offset: 0, length: leafSize },
      ],
    ],
  ])('that asks for %s of a backup is given up after one offer', async (_, ranges) => {
    const push = pushWhere(() => ranges);
    await expect(push).rejects.toMatchObject({ kind: 'failed', message: expect.stringMatching(/^DE1 .* no sense$/) });
    expect(offers).toBe(1);
  });

  it('that loses what it is sent, but for a little each time, is given up for now', async () => {
    const push = pushWhere((offer) => [{ offset: 0, length: (19 - offer) * leafSize }]);
    await expect(push).rejects.toMatchObject({ kind: 'failed', retryable: true });
    expect(offers).toBe(17);
  });
});

describe('a push over several connections', () => {
  it('brings each part once, over all of them, and closes what it opened', async () => {
    const progress: number[] = [];
    let most = 0;
    await pushBackup(connect(fixed(4)), manifest, {
      read,
      progress(bytes) {
        progress.push(bytes);
        most = Math.max(most, others.open());
      },
    });
    expect(await isHeldWhole()).toBe(true);
    expect(most).toBe(3);
    expect(progress).toEqual([...progress].sort((a, b) => a - b));
    expect(progress.at(-1)).toBe(content.length);
    expect(others.sent()).toBeGreaterThan(4 * mib);
    // A few leaves at the end may be sent by two.
    expect(first.sent() + others.sent()).toBeLessThan(content.length + 3 * mib);
    while (others.open() > 0) await new Promise(setImmediate);
  });

  it('goes on over the others when one is cut, and sends again what was lost with it', async () => {
    const half = 12 * mib;
    let cut = (): void => {};
    const wasCut = new Promise<void>((resolve) => {
      cut = resolve;
    });
    const reads: number[] = [];
    const push = pushBackup(connect(fixed(2)), manifest, {
      async *read(offset, length) {
        reads.push(offset);
        let sent = 0;
        for await (const chunk of read(offset, length)) {
          // The one stops after 2 MiB, and the other goes on when it has been cut.
          if (offset < half && sent > 2 * mib) await wasCut;
          if (offset >= half && sent > 2 * mib && reads.length < 3) {
            others.cut();
            cut();
          }
          yield chunk;
          sent += chunk.length;
        }
      },
    });
    await push;
    expect(await isHeldWhole()).toBe(true);
    expect(reads.length).toBeGreaterThan(2);
  });

  it('needs only one that reaches the peer', async () => {
    await others.close();
    await pushBackup(connect(fixed(8)), manifest, { read });
    expect(await isHeldWhole()).toBe(true);
  });

  it('fails when all are cut', async () => {
    let read = 0;
    const push = pushBackup(connect(fixed(3)), manifest, {
      async *read(offset, length) {
        for await (const chunk of chunksOf(content, offset, length)) {
          read += chunk.length;
          if (read > 9 * mib) await Promise.all([first.close(), others.close()]);
          yield chunk;
        }
      },
    });
    await expect(push).rejects.toMatchObject({ kind: 'unreachable', retryable: true });
  });

  it('is told once that its bytes are not those of the manifest', async () => {
    const wrong = flipped(content, 13 * mib);
    const lie = pushBackup(connect(fixed(4)), manifest, {
      read: (offset, length) => chunksOf(wrong, offset, length),
    });
    await expect(lie).rejects.toMatchObject({ kind: 'damaged' });
  });

  it('ends when the file cannot be read at one of its places', async () => {
    const push = pushBackup(connect(fixed(4)), manifest, {
      async *read(offset, length) {
        if (offset > 12 * mib) throw new Error('the disk is broken');
        yield* read(offset, length);
      },
    });
    await expect(push).rejects.toThrow('the disk is broken');
  });

  it('takes more of them into use, and gives them back, while it is under way', async () => {
    let sent = 0;
    const varying: ChannelCount = {
      get wanted() {
        return sent > 8 * mib && sent < 16 * mib ? 8 : 1;
      },
      begin: () => () => {},
      sent(bytes) {
        sent += bytes;
      },
    };
    let most = 0;
    let givenBack = 0;
    await pushBackup(connect(varying), manifest, {
      progress() {
        most = Math.max(most, others.open());
      },
      async *read(offset, length) {
        // What the others leave when they are not wanted any more, the first one brings.
        const isLeft = sent >= 16 * mib;
        while (isLeft && others.open() > 0) await new Promise(setImmediate);
        if (isLeft) givenBack += 1;
        yield* read(offset, length);
      },
    });
    expect(await isHeldWhole()).toBe(true);
    expect(most).toBe(7);
    expect(givenBack).toBeGreaterThan(0);
    expect(others.sent()).toBeLessThan(11 * mib);
    expect(first.sent() + others.sent()).toBeLessThan(content.length + 3 * mib);
  });

  it('of a small backup has one, however many a large one would have', async () => {
    const small = content.subarray(0, 2 * mib);
    await pushBackup(connect(fixed(8)), manifestOf(small, self.signer), { read });
    expect(others.sent()).toBe(0);
  });

  it('goes on where an earlier one was cut, wherever that was', async () => {
    const broken = pushBackup(connect(fixed(4)), manifest, {
      async *read(offset, length) {
        let sent = 0;
        for await (const chunk of read(offset, length)) {
          if (sent > 2 * mib) {
            while ((await bytesKept()) < 4 * mib) await new Promise(setImmediate);
            throw new Error('the cable was pulled');
          }
          yield chunk;
          sent += chunk.length;
        }
      },
    });
    await expect(broken).rejects.toThrow('the cable was pulled');
    let again = 0;
    await pushBackup(connect(fixed(4)), manifest, {
      async *read(offset, length) {
        for await (const chunk of read(offset, length)) {
          again += chunk.length;
          yield chunk;
        }
      },
    });
    expect(await isHeldWhole()).toBe(true);
    expect(again).toBeLessThan(content.length - 2 * mib);
  });
});
