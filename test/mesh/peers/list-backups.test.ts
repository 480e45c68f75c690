import { afterEach, beforeEach, expect, it } from 'vitest';
import type { HeldBackup } from '../../../src/mesh/generated/anemone/backup/v1/backup.js';
import type { ListBackupsRequest, ListBackupsResponse } from '../../../src/mesh/generated/anemone/peer/v1/peer.js';
import { type Connection, connectTo } from '../../../src/mesh/peers/connection.js';
import { type BriefEntry, listBackups, listPages } from '../../../src/mesh/peers/list-backups.js';
import { systemClock } from '../../../src/mesh/terms/clock.js';
import { type HostilePeer, startHostilePeer } from '../../support/hostile-peer.js';
import { throwawayServer } from '../../support/identities.js';

const self = throwawayServer('FR1');
const all = { owner: '', set: '' };
let shown: HeldBackup[];
let pages: Partial<ListBackupsResponse>[] | null;
let asked: ListBackupsRequest | null;
let peer: HostilePeer;
let connection: Connection;
beforeEach(async () => {
  [pages, asked] = [null, null];
  peer = await startHostilePeer('DE1', self, () => ({
    list: () => shown,
    listPages: (question) => {
      asked = question;
      return pages ?? [{ backups: shown }];
    },
    fetch: () => [],
  }));
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

async function briefly(): Promise<readonly BriefEntry[]> {
  const entries: BriefEntry[] = [];
  for await (const { brief } of listPages(connection, { ...all, brief: true })) entries.push(...brief);
  return entries;
}

it('takes entries in brief: a digest and a time, and none where the peer is the owner', async () => {
  pages = [{ manifestDigests: Buffer.concat([Buffer.alloc(32, 1), Buffer.alloc(32, 2)]), receivedAtMs: [1000, 0] }];
  expect(await briefly()).toEqual([
    { manifestDigest: '01'.repeat(32), receivedAt: 1000 },
    { manifestDigest: '02'.repeat(32), receivedAt: null },
  ]);
  expect(asked).toMatchObject({ brief: true, manifestDigests: [] });
});

it('asks for whole entries by the digests of their manifests', async () => {
  pages = [{}];
  for await (const _ of listPages(connection, { ...all, manifestDigests: ['0a'.repeat(32)] }));
  expect(asked).toMatchObject({ brief: false, manifestDigests: [Buffer.alloc(32, 10)] });
});

it.each([
  ['half a digest', { manifestDigests: Buffer.alloc(48), receivedAtMs: [1, 2] }],
  ['a digest without a time', { manifestDigests: Buffer.alloc(64), receivedAtMs: [1] }],
])('does not guess what %s means, and names the peer', async (_what, sent) => {
  pages = [sent];
  await expect(briefly()).rejects.toMatchObject({
    kind: 'invalid',
    message: expect.stringContaining('DE1 (127.0.0.1:'),
  });
});

it('gives up on entries in brief without an end', async () => {
  const manyEntries = { manifestDigests: Buffer.alloc(10_000 * 32), receivedAtMs: new Array(10_000).fill(0) };
  pages = new Array(10).fill(manyEntries);
  await expect(briefly()).resolves.toHaveLength(100_000);
  pages.push({ manifestDigests: Buffer.alloc(32), receivedAtMs: [0] });
  await expect(briefly()).rejects.toMatchObject({ kind: 'invalid', message: expect.stringContaining('does not end') });
});

it('gives up on a list that goes on with nothing', async () => {
  pages = [{ manifestDigests: Buffer.alloc(32), receivedAtMs: [0] }, {}, {}];
  await expect(briefly()).rejects.toMatchObject({ kind: 'invalid', message: expect.stringContaining('does not end') });
});
