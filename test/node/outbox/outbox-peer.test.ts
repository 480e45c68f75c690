import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { connectTo } from '../../../src/mesh/peers/connection.js';
import { systemClock } from '../../../src/mesh/terms/clock.js';
import { deliver } from '../../../src/node/outbox/deliver.js';
import { outboxPeer } from '../../../src/node/outbox/outbox-peer.js';
import { type OwnBackup, owed } from '../../../src/node/outbox/owed.js';
import { type RateLimit, rateLimit } from '../../../src/node/outbox/rate-limit.js';
import { openReceipts } from '../../../src/node/outbox/receipts.js';
import type { Vault } from '../../../src/node/vault/vault.js';
import { silent } from '../../support/events.js';
import { manifestOf } from '../../support/manifests.js';
import { type PeerNode, peerConfig, startPeerNode } from '../../support/peer-node.js';
import { type FaultyDisk, faultyDisk } from '../vault/faulty-disk.js';
import { servers, type VaultFixture } from '../vault/fixture.js';
import { temporaryVault } from '../vault/temporary-vault.js';

const nights = ['2026-11-21T01:00:00Z', '2026-11-22T01:00:00Z', '2026-11-23T01:00:00Z'].map((time) => {
  const content = randomBytes(1000);
  const manifest = manifestOf(content, servers.FR1.signer, { owner: 'FR1', createdAtMs: Date.parse(time) });
  return { content, manifest, name: manifest.facts.name };
});
const unlimited = rateLimit(systemClock, () => 0);
/** How a push waits that nobody watches. */
const waitHere = <T>(wait: Promise<T>): Promise<T> => wait;
const names = nights.map(({ name }) => name);

let fixture: VaultFixture;
let faulty: FaultyDisk;
let vault: Vault;
let node: PeerNode;

beforeEach(async () => {
  node = await startPeerNode({ peers: [peerConfig('FR1', servers.FR1)] });
  fixture = await temporaryVault();
  faulty = faultyDisk();
  vault = await fixture.open({ disk: faulty.disk });
  for (const { content, manifest } of nights) {
    const draft = await vault.draft();
    await draft.write(content);
    await draft.commit(manifest.signed);
  }
});
afterEach(async () => {
  await node.stop();
});

it.each(['manifest', 'file'])('a %s that cannot be read here holds up no other backup', async (what) => {
  const bad = `handle.read ${names[2]}${what === 'manifest' ? '.manifest' : ''}`;
  faulty.fail('EIO', (call) => faulty.trace[call] === bad);
  const delivered: string[] = [];
  const failed: string[] = [];
  const { failure } = await deliver(owed(vault.list(), new Set()), {
    clock: fixture.clock,
    peer: outboxPeer(
      node.callAs(servers.FR1),
      vault,
      servers.FR1.identity,
      rateLimit(fixture.clock, () => 0),
    ),
    receipts: openReceipts(join(fixture.data, '.state', 'receipts'), silent, () => false),
    signal: new AbortController().signal,
    ownBackups: async () => vault.list(),
    isOverdue: () => false,
    progress: () => {},
    delivered: ({ name }) => delivered.push(name),
    failed: ({ name }) => failed.push(name),
  });
  expect(failure).toMatchObject({ kind: 'failed', retryable: false, message: expect.stringContaining('EIO') });
  expect(failed).toEqual([names[2]]);
  expect(delivered.sort()).toEqual(names.slice(0, 2));
  expect(vault.findings()).toEqual([expect.stringContaining('cannot be read')]);
});

it('waits for the limit in the name of its peer, for each byte, so that all peers get their turn', async () => {
  const us1 = await startPeerNode({ name: 'US1', peers: [peerConfig('FR1', servers.FR1)] });
  try {
    const asked: [peer: string, bytes: number][] = [];
    const limit: RateLimit = {
      ...unlimited,
      take: async (peer, bytes) => void asked.push([peer, bytes]),
      piece: () => 600,
    };
    for (const each of [node, us1]) {
      const peer = outboxPeer(each.callAs(servers.FR1), vault, servers.FR1.identity, limit);
      const [backup] = owed(vault.list(), new Set());
      if (backup === undefined) throw new Error('nothing is owed');
      await peer.push(backup, { progress() {}, waitHere, signal: new AbortController().signal });
    }
    expect(asked).toEqual(['FR2', 'US1'].flatMap((peer) => [600, 400].map((bytes) => [peer, bytes])));
  } finally {
    await us1.stop();
  }
});

/** One of 1.5 MiB in the vault, newer than all others. */
async function largeBackup(): Promise<OwnBackup> {
  const content = randomBytes(3 * 2 ** 19);
  const { signed } = manifestOf(content, servers.FR1.signer, {
    owner: 'FR1',
    createdAtMs: Date.parse('2026-11-24T01:00:00Z'),
  });
  const draft = await vault.draft();
  await draft.write(content);
  await draft.commit(signed);
  const [backup] = owed(vault.list(), new Set());
  if (backup === undefined) throw new Error('nothing is owed');
  return backup;
}

it('goes on where it was when it has a place again, as often as it has to give it away', async () => {
  const backup = await largeBackup();
  let places = 0;
  let left = 0;
  let othersWait = (): void => {};
  const limit: RateLimit = {
    ...unlimited,
    piece: () => 2 ** 16,
    async place() {
      places += 1;
      const leave = (): void => {
        left += 1;
      };
      const over = new AbortController();
      othersWait = () => over.abort(new Error('others wait'));
      return { over: over.signal, leave };
    },
    async take(_, __, signal) {
      signal.throwIfAborted();
      othersWait();
    },
  };
  const peer = outboxPeer(node.callAs(servers.FR1), vault, servers.FR1.identity, limit);
  await peer.push(backup, { progress() {}, waitHere, signal: new AbortController().signal });
  expect(node.vault.list().map(({ name }) => name)).toContain(backup.name);
  expect([places, left]).toEqual([24, 24]);
});

it('sends 64 KiB at first and once a piece took long, so that each is progress, and twice as much after each quick one', async () => {
  const backup = await largeBackup();
  const asked: number[] = [];
  const limit: RateLimit = { ...unlimited, take: async (_, bytes) => void asked.push(bytes) };
  let elapsed = 0;
  const clock = { ...systemClock, monotonic: () => elapsed };
  const connection = connectTo(node.callAs(servers.FR1).peer, servers.FR1, clock);
  const peer = outboxPeer(connection, vault, servers.FR1.identity, limit);
  const slowUpTo = 2 ** 19 + 2 ** 16;
  const progress = (bytes: number): void => {
    if (bytes > 2 ** 18 && bytes <= slowUpTo) elapsed += 6_000;
  };
  await peer.push(backup, { progress, waitHere, signal: new AbortController().signal });
  connection.close();
  const chunks = [[1, 2, 4, 1], [1, 1, 2, 4], [8]];
  expect(asked).toEqual(chunks.flat().map((leaves) => leaves * 2 ** 16));
});

it('gives its place to others when it is given up, though this disk gives nothing of what was asked for', async () => {
  const [backup] = owed(vault.list(), new Set());
  if (backup === undefined) throw new Error('nothing is owed');
  let asked = (): void => {};
  const isAsked = new Promise<void>((resolve) => {
    asked = resolve;
  });
  const hanging = {
    held: (name: string) => vault.held(name),
    async *read() {
      asked();
      await new Promise(() => {});
    },
  } as unknown as Vault;
  let left = 0;
  const leave = (): void => {
    left += 1;
  };
  const limit: RateLimit = { ...unlimited, place: async () => ({ over: new AbortController().signal, leave }) };
  const givenUp = new AbortController();
  const peer = outboxPeer(node.callAs(servers.FR1), hanging, servers.FR1.identity, limit);
  void peer.push(backup, { progress() {}, waitHere, signal: givenUp.signal });
  await isAsked;
  expect(left).toBe(0);
  givenUp.abort();
  expect(left).toBe(1);
});
