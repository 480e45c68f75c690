import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readdir, readFile } from 'node:fs/promises';
import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { createServer as createTlsServer } from 'node:tls';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { HeldBackup } from '../../src/mesh/generated/anemone/backup/v1/backup.js';
import { loadServerIdentity, type ServerIdentity } from '../../src/mesh/identity/server-identity.js';
import { listenerOptions } from '../../src/mesh/identity/trust.js';
import type { VerifiedManifest } from '../../src/mesh/manifest/manifest.js';
import { signReceipt } from '../../src/mesh/manifest/receipt.js';
import { flipped } from '../support/flip-bit.js';
import { type HostilePeer, type Lies, startHostilePeer } from '../support/hostile-peer.js';
import { throwawayServer } from '../support/identities.js';
import { hashesOf, manifestOf } from '../support/manifests.js';
import { type Mesh, type MeshServer, makeMesh } from '../support/mesh.js';

const content = randomBytes(300_000);
const other = randomBytes(300_000);

let mesh: Mesh;
let fr1: MeshServer;
let self: ServerIdentity;
let first: VerifiedManifest;
let second: VerifiedManifest;

beforeAll(async () => {
  mesh = await makeMesh('FR1');
  fr1 = mesh.server('FR1');
  self = await loadServerIdentity(join(fr1.data, '.state'));
  first = manifestOf(content, self.signer, { sequence: 1 });
  second = manifestOf(other, self.signer, {
    sequence: 2,
    previous: first.digest,
    createdAtMs: Date.UTC(2026, 10, 24, 1, 0, 0),
  });
}, 120_000);
afterAll(() => mesh.close());

const guests: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const leave of guests.splice(0)) await leave();
});

/** Runs a peer that FR1 knows, for one test. */
async function invite(name: string, lies: (server: ServerIdentity) => Lies): Promise<HostilePeer> {
  const peer = await startHostilePeer(name, self, lies);
  const { host, port } = peer.peer.address;
  await fr1.addPeer(name, `${host}:${port}`, peer.server.identity);
  guests.push(async () => {
    await fr1.peer(['peer', 'remove', name]);
    await peer.stop();
  });
  return peer;
}

const holding = (server: ServerIdentity, { signed, digest }: VerifiedManifest): HeldBackup => ({
  manifest: signed,
  receipt: signReceipt({ manifestDigest: digest, receivedAt: Date.UTC(2026, 10, 24) }, server.signer),
});

const bytesOf = (name: string): Buffer => (name === second.facts.name ? other : content);
const honest = (server: ServerIdentity, ...held: VerifiedManifest[]): Lies => ({
  list: () => held.map((manifest) => holding(server, manifest)),
  fetch: (name, offset) => [bytesOf(name).subarray(offset)],
  leaves: (name) => [hashesOf(bytesOf(name))],
});

function* endless(): Generator<Buffer> {
  for (let megabytes = 0; megabytes < 64; megabytes += 1) yield Buffer.alloc(1_000_000, megabytes);
}

describe('a hostile peer', { timeout: 180_000 }, () => {
  it.each<[string, Lies['fetch']]>([
    ['sends half of the bytes as if they were all', () => [content.subarray(0, 150_000)]],
    ['flips a bit', (_, offset) => [flipped(content, 1000).subarray(offset)]],
    ['sends another backup under the name', (_, offset) => [other.subarray(offset)]],
    ['never stops sending', endless],
  ])('that %s is named, and no file comes of it', async (_what, fetch) => {
    await invite('EVIL', (server) => ({ ...honest(server, first), fetch }));
    const target = join(mesh.root, 'fetched.enc');
    const fetched = await fr1.peer(['fetch', first.facts.name, '--peer', 'EVIL', '-o', target]);
    expect(fetched).toMatchObject({ code: 13, stdout: '', stderr: expect.stringContaining('EVIL') });
    const restored = await fr1.peer(
      ['restore', first.facts.name, '--target', join(mesh.root, 'out'), '--yes', '--key-stdin'],
      { input: fr1.recoveryKey },
    );
    expect(restored).toMatchObject({ code: 13, stderr: expect.stringContaining('EVIL') });
    expect((await readdir(mesh.root)).filter((file) => file !== 'FR1')).toEqual([]);
  });

  it('that flips a bit costs nothing where an honest one has the backup too', async () => {
    await invite('EVIL', (server) => ({
      ...honest(server, first),
      fetch: (_, offset) => [flipped(content, 1000).subarray(offset)],
    }));
    await invite('GOOD', (server) => honest(server, first));
    const target = join(mesh.root, 'FR1/fetched.enc');
    const { code, stderr } = await fr1.peer(['fetch', first.facts.name, '-o', target, '--force']);
    expect({ code, stderr }).toMatchObject({ code: 0, stderr: expect.stringContaining('EVIL') });
    expect((await readFile(target)).equals(content)).toBe(true);
  });

  it('that shows a manifest which the owner did not sign is named, and the backup is not taken', async () => {
    const forged = manifestOf(other, throwawayServer('FR1').signer, { createdAtMs: Date.UTC(2026, 10, 25) });
    await invite('EVIL', (server) => ({ ...honest(server), list: () => [holding(server, forged)] }));
    const listed = await fr1.peer(['list', '--peer', 'EVIL', '--json']);
    expect(JSON.parse(listed.stdout)).toMatchObject({
      backups: [{ filename: forged.facts.name, peer_name: 'EVIL', verified: false }],
      findings: [{ peer: 'EVIL', kind: 'forged' }],
    });
    const fetched = await fr1.peer(['fetch', forged.facts.name, '--peer', 'EVIL']);
    expect(fetched.code).toBe(13);
    const latest = await fr1.peer(['restore', 'latest', '--dry-run', '--key-stdin'], { input: fr1.recoveryKey });
    expect(latest.code).toBe(13);
  });

  it('that shows in brief what it does not give is named, and costs the others nothing', async () => {
    const showing = (server: ServerIdentity, digest: Uint8Array): Lies => ({
      ...honest(server),
      listPages: ({ brief }) => [brief ? { manifestDigests: digest, receivedAtMs: [Date.UTC(2026, 10, 24)] } : {}],
    });
    await invite('EVIL', (server) => showing(server, randomBytes(32)));
    await invite('WORSE', (server) => showing(server, randomBytes(31)));
    await invite('GOOD', (server) => honest(server, first));
    const listed = await fr1.peer(['list', '--json']);
    expect(listed.code).toBe(3);
    const { backups, peers, findings } = JSON.parse(listed.stdout);
    expect(backups).toMatchObject([{ filename: first.facts.name, peer_name: 'GOOD', verified: true }]);
    expect(findings).toMatchObject([{ peer: 'EVIL', kind: 'forged', message: expect.stringContaining('not give it') }]);
    expect(peers).toContainEqual(expect.objectContaining({ name: 'WORSE', ok: false, error: expect.any(String) }));
    expect(peers).toContainEqual(expect.objectContaining({ name: 'EVIL', ok: true }));
  });

  it('that rolls its list back, or withholds the newest, is named, and `latest` is the newest', async () => {
    await invite('EVIL', (server) => honest(server, first));
    await invite('GOOD', (server) => honest(server, first, second));
    const listed = await fr1.peer(['list', 'FR1', '--json']);
    expect(JSON.parse(listed.stdout).findings).toMatchObject([{ peer: 'EVIL', kind: 'behind' }]);
    const latest = await fr1.peer(['show', 'latest', '--json']);
    expect(JSON.parse(latest.stdout)).toMatchObject({ filename: second.facts.name, holders: [{ name: 'GOOD' }] });
  });

  it.each<[string, string, (server: ServerIdentity) => ReturnType<typeof createServer>]>([
    ['in the clear', 'connection', () => createServer()],
    ['with the right certificate', 'secureConnection', (server) => createTlsServer(listenerOptions(server))],
  ])('that speaks garbage %s is named, and costs its own answer only', async (_how, event, open) => {
    const server = throwawayServer('EVIL');
    const listener = open(server).listen(0, '127.0.0.1');
    const babble = (socket: Socket): void => {
      socket.on('error', () => {});
      socket.end(randomBytes(100_000));
      socket.resume();
    };
    listener.on(event, babble);
    await once(listener, 'listening');
    const { port } = listener.address() as { port: number };
    await fr1.addPeer('EVIL', `127.0.0.1:${port}`, server.identity);
    guests.push(async () => {
      await fr1.peer(['peer', 'remove', 'EVIL']);
      await new Promise((resolve) => listener.close(resolve));
    });
    await invite('GOOD', (peer) => honest(peer, first));
    const listed = await fr1.peer(['list', '--json', '--timeout', '3']);
    expect(listed.code).toBe(3);
    const { backups, peers } = JSON.parse(listed.stdout);
    expect(backups).toMatchObject([{ filename: first.facts.name, peer_name: 'GOOD', verified: true }]);
    expect(peers).toContainEqual(expect.objectContaining({ name: 'EVIL', ok: false, error: expect.any(String) }));
  });
});
