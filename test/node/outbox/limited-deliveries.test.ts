import { randomBytes } from 'node:crypto';
import { setMaxListeners } from 'node:events';
import type { ClientHttp2Stream, ServerHttp2Stream } from 'node:http2';
import { join } from 'node:path';
import { duplexPair } from 'node:stream';
import { beforeEach, expect, it } from 'vitest';
import { signReceipt } from '../../../src/mesh/manifest/receipt.js';
import { openChannelCount } from '../../../src/mesh/peers/channel-count.js';
import { bulkPatience, type Connection, controlPatience } from '../../../src/mesh/peers/connection.js';
import { parseHostname } from '../../../src/mesh/terms/hostname.js';
import type { Channel } from '../../../src/mesh/wire/channel.js';
import { peerService } from '../../../src/mesh/wire/methods.js';
import { okStatus, statusFromFailure, trailersOf } from '../../../src/mesh/wire/status.js';
import { type Outbox, openOutbox } from '../../../src/node/outbox/outbox.js';
import { outboxPeer } from '../../../src/node/outbox/outbox-peer.js';
import { rateLimit } from '../../../src/node/outbox/rate-limit.js';
import { openReceipts } from '../../../src/node/outbox/receipts.js';
import { answersTo } from '../../../src/node/service/answers.js';
import { pushBackup } from '../../../src/node/service/push-backup.js';
import type { Vault } from '../../../src/node/vault/vault.js';
import { type Events, watchEvents } from '../../support/events.js';
import { FakeClock } from '../../support/fake-clock.js';
import { throwawayServer } from '../../support/identities.js';
import { manifestOf } from '../../support/manifests.js';
import { temporaryFolder } from '../../support/temporary-folder.js';

const kib = 1024;
const self = throwawayServer('FR1');
/** Of eight leaves, the last of which is short. */
const content = randomBytes(500_000);
const { signed, facts, digest } = manifestOf(content, self.signer);
const { name, set, sequence, createdAtMs: createdAt, size } = facts;
const backup = { name, set, sequence, createdAt, size, digest };
const names = (count: number): string[] =>
  Array.from({ length: count }, (_, at) => `S${String(at + 1).padStart(2, '0')}`);

let clock: FakeClock;
let log: Events;
let outbox: Outbox;
let allowed: number;
/** Bytes that have arrived, by peer. */
let arrived: Map<string, number>;

beforeEach(() => {
  clock = new FakeClock();
  log = watchEvents();
  arrived = new Map();
});

/** The own vault, in memory: no disk has a part in how long something takes. */
const vault = {
  held: async () => ({ manifest: signed }),
  async *read(_: string, offset: number, length: number) {
    for (let at = offset; at < offset + length; at += 2 ** 19)
      yield content.subarray(at, Math.min(at + 2 ** 19, offset + length));
  },
} as unknown as Vault;

/** A connection without a network to a peer that takes each message after so many milliseconds. */
function connectionTo(name: string, slowness: number): Connection {
  const server = throwawayServer(name);
  const answer = ():
    | { $case: 'held'; value: ReturnType<typeof signReceipt> }
    | { $case: 'missing'; value: { ranges: { offset: number; length: number }[] } } => {
    const have = arrived.get(name) ?? 0;
    if (have === content.length) {
      return { $case: 'held', value: signReceipt({ manifestDigest: digest, receivedAt: clock.now() }, server.signer) };
    }
    return { $case: 'missing', value: { ranges: [{ offset: have, length: content.length - have }] } };
  };
  const receiver = {
    async write(...chunks: readonly Uint8Array[]) {
      if (slowness > 0) await clock.sleep(slowness);
      arrived.set(
        name,
        chunks.reduce((sum, { length }) => sum + length, arrived.get(name) ?? 0),
      );
    },
    async finish() {
      const { $case, value } = answer();
      return $case === 'held' ? { held: value } : { missing: value.ranges };
    },
    async abort() {},
  };
  const taking = { receive: async () => receiver } as unknown as Vault;
  const caller = { name: parseHostname('FR1'), identity: self.identity, key: 'FR1', quota: 0, reads: [] };
  const { unary, clientStream } = answersTo(() => caller, clock);
  const answers = [
    unary(peerService.offerBackup, () => ({ answer: answer() })),
    clientStream(peerService.pushBackup, (requests, incoming) => pushBackup(taking, requests, incoming, clock)),
  ];
  const channel = (patience: number): Channel => ({
    whom: name,
    clock,
    patience,
    async connect() {},
    async open(path) {
      const [near, far] = duplexPair();
      const gone = new AbortController();
      near.once('close', () => gone.abort());
      const serve = async (): Promise<void> => {
        const call = { from: name, certificate: undefined, crowd: name, path };
        const answering = answers.find((each) => each.path === path);
        try {
          for await (const pieces of answering?.messages(far as ServerHttp2Stream, call, gone.signal) ?? [])
            for (const piece of pieces) far.write(piece);
          near.emit('trailers', trailersOf(okStatus));
        } catch (thrown) {
          near.emit('trailers', trailersOf(statusFromFailure(thrown)));
        }
        far.end();
      };
      void serve();
      return Object.assign(near, { close() {} }) as unknown as ClientHttp2Stream;
    },
    close() {},
  });
  return {
    peer: { name: parseHostname(name), identity: server.identity, address: { host: name, port: 7443 } },
    control: channel(controlPatience),
    bulk: channel(bulkPatience),
    openBulk: () => channel(bulkPatience),
    channelCount: openChannelCount(clock),
    close() {},
  };
}

async function follow(peers: readonly string[], slowness: (name: string) => number = () => 0): Promise<void> {
  const limit = rateLimit(clock, () => allowed);
  outbox = openOutbox({
    clock,
    log,
    receipts: openReceipts(join(await temporaryFolder(), 'receipts'), log, () => false),
    ownBackups: async () => [backup],
  });
  await outbox.follow(peers.map((name) => outboxPeer(connectionTo(name, slowness(name)), vault, self.identity, limit)));
}

const deliverNow = () => {
  const forever = new AbortController().signal;
  // As a run does: of every peer something listens.
  setMaxListeners(0, forever);
  return outbox.deliverNow(() => {}, { stop: forever, hurry: forever });
};

/** Ends the outbox, of which every peer has everything, and none was ever said to stand in the way. */
async function expectAllServed(): Promise<void> {
  const reports = await clock.runUntil(deliverNow());
  expect(log.count('delivery failed')).toBe(0);
  expect(reports.map(({ owed, problem }) => [owed, problem])).toEqual(reports.map(() => [0, undefined]));
  await outbox.stop();
  expect(clock.pending()).toBe(0);
}

const have = (peer: string): number => arrived.get(peer) ?? 0;

it('the lowest limit serves a mesh of 24 in the end, and no peer is said to be slow', { timeout: 30_000 }, async () => {
  allowed = 8 * kib;
  await follow(names(23));
  const all = 23 * content.length;
  const sum = (): number => names(23).reduce((bytes, peer) => bytes + have(peer), 0);
  while (sum() < all) await clock.advance(1000);
  expect(clock.monotonic() / 1000 / (all / allowed)).toBeGreaterThan(0.95);
  expect(clock.monotonic() / 1000 / (all / allowed)).toBeLessThan(1.05);
  await expectAllServed();
});

it.each([1000, 2000, 4000])('a limit that falls %i ms after all have begun accuses none of them', async (ms) => {
  allowed = 200 * kib;
  await follow(names(23));
  await clock.advance(ms);
  allowed = 8 * kib;
  await expectAllServed();
});

it('a limit that falls while all peers are served accuses none of them', { timeout: 30_000 }, async () => {
  allowed = 200 * kib;
  await follow(names(23));
  while (Math.min(...names(23).map(have)) === 0) await clock.advance(500);
  expect(Math.max(...names(23).map(have))).toBeLessThan(content.length);
  allowed = 8 * kib;
  await expectAllServed();
});

it('peers that are slow themselves give their place to one that waits', { timeout: 30_000 }, async () => {
  allowed = 8 * kib;
  await follow(names(4), (peer) => (peer === 'S04' ? 0 : 25_000));
  while (have('S04') === 0) await clock.advance(1000);
  expect(Math.max(...names(3).map(have))).toBeLessThan(content.length);
  await expectAllServed();
});
