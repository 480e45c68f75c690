import { randomBytes } from 'node:crypto';
import { readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { Decrypter } from 'age-encryption';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { deriveKeys, parseRecoveryKey } from '../../src/mesh/identity/recovery-key.js';
import { type Mesh, type MeshServer, makeMesh, reportOf, withMesh } from '../support/mesh.js';
import { sealAsPredecessor, tarGz } from '../support/predecessor.js';
import { anemonePeer } from '../support/program.js';
import { describeTree, writeConfigTree } from '../support/tree.js';

let mesh: Mesh;
let fr1: MeshServer;
let fr2: MeshServer;
let us1: MeshServer;

// Each of these counts what its own servers leave open, so no others run meanwhile.
describe('a mistake that cost the users of the predecessor their backups, among servers of its own', {
  timeout: 180_000,
}, () => {
  it('2: every program knows the same name of the server, and a server without peers is no success', () =>
    withMesh(['DE1'], async ([de1]) => {
      await de1.start();
      const { code, stdout } = await de1.peer(['backup', '--json']);
      expect(code).toBe(3);
      expect(reportOf(stdout).problems).toMatchObject([{ message: expect.stringContaining('no peer is configured') }]);
      expect(await de1.events.until('node started')).toMatchObject({ fields: { server: 'DE1' } });
      expect(await de1.holds('local')).toEqual([expect.stringMatching(/^anemone-backup-DE1-/)]);
      const listed = await de1.peer(['list', '--json']);
      expect(JSON.parse(listed.stdout)).toMatchObject({ server: 'DE1', backups: [{ owner: 'DE1' }] });
    }));

  it('4: a source that failed is read again, although it gives the same bytes', () =>
    withMesh(['DE1', 'DE2'], async ([de1, de2]) => {
      await de1.sets('data:\n  command: [sh, -c, "echo the same bytes; test -e works"]');
      await Promise.all([de1.startInside(), de2.startInside()]);
      expect((await de1.peer(['backup', '--set', 'data'])).code).toBe(1);
      expect(await de2.holds('DE1')).toEqual([]);
      await writeFile(join(de1.folder, 'works'), '');
      expect(reportOf((await de1.peer(['backup', '--json'])).stdout).outcome).toBe('done');
      expect(await de2.holds('DE1')).toHaveLength(1);
    }));

  it('7: the receiver counts what a peer stores, and holds it to its quota', () =>
    withMesh([], async (_, pair) => {
      const [de1, de2] = [await pair.add('DE1'), await pair.add('DE2')];
      await pair.introduce(de1, de2, { quota: '40KB' });
      await Promise.all([de1.startInside(), de2.startInside()]);
      expect((await de1.peer(['backup'])).code).toBe(0);
      const { peers } = JSON.parse((await de2.peer(['status', '--json'])).stdout);
      const made = await de2.holds('DE1');
      const files = (await readdir(join(de2.data, 'DE1'))).filter((file) => file.endsWith('.enc'));
      const sizes = await Promise.all(files.map(async (file) => (await stat(join(de2.data, 'DE1', file))).size));
      const size = sizes.reduce((sum, each) => sum + Math.max(each, 16_384), 0);
      expect(peers).toMatchObject([{ name: 'DE1', stored_here: { used: size, quota: 40_000 } }]);
      await writeFile(join(de1.folder, 'config/large'), randomBytes(40_000));
      const refused = await de1.peer(['backup', '--json']);
      expect(refused.code).toBe(3);
      expect(reportOf(refused.stdout).peers).toMatchObject([{ peer: 'DE2', problem: { kind: 'no-space' } }]);
      expect(await de2.holds('DE1')).toEqual(made);
    }));
});

describe('a mistake that cost the users of the predecessor their backups', { timeout: 180_000 }, () => {
  beforeAll(async () => {
    mesh = await makeMesh('FR1', 'FR2', 'US1');
    fr1 = mesh.server('FR1');
    fr2 = mesh.server('FR2');
    us1 = mesh.server('US1');
    await writeConfigTree(join(fr1.folder, 'config'));
    await Promise.all(mesh.servers.map((server) => server.startInside()));
  }, 120_000);
  afterAll(() => mesh.close());

  it('1: the loop over the peers does not end after the first success', async () => {
    const { code, stdout } = await fr1.peer(['backup', '--json']);
    expect(code).toBe(0);
    const [name] = await fr1.holds('local');
    expect(reportOf(stdout).peers).toMatchObject([
      { peer: 'FR2', delivered: [name] },
      { peer: 'US1', delivered: [name] },
    ]);
    for (const peer of [fr2, us1]) expect(await peer.holds('FR1')).toEqual([name]);
  });

  it('3 and 4: a night in which every peer failed is no success, and is made up for', async () => {
    await Promise.all([fr2.stop(), us1.stop()]);
    await writeFile(join(fr1.folder, 'config/changed'), 'changed');
    const failed = await fr1.peer(['backup', '--json']);
    expect(failed.code).toBe(3);
    expect(reportOf(failed.stdout)).toMatchObject({
      outcome: 'partly',
      peers: [
        { peer: 'FR2', outcome: 'failed', delivered: [] },
        { peer: 'US1', outcome: 'failed', delivered: [] },
      ],
    });
    await Promise.all([fr2.startInside(), us1.startInside()]);
    expect((await fr1.peer(['backup'])).code).toBe(0);
    for (const peer of [fr2, us1]) expect(await peer.holds('FR1')).toEqual(await fr1.holds('local'));
  });

  it('5: random bytes of the right length under the right name are no backup', async () => {
    const [name = ''] = (await fr1.holds('local')).slice(-1);
    const held = join(us1.data, 'FR1', name);
    await writeFile(held, randomBytes((await stat(held)).size));
    const file = join(mesh.root, 'fetched.enc');
    const fetched = await fr1.peer(['fetch', name, '--peer', 'US1', '-o', file]);
    expect(fetched).toMatchObject({ code: 13, stderr: expect.stringContaining('US1') });
    await expect(stat(file)).rejects.toThrow('ENOENT');
    expect((await fr1.peer(['fetch', name, '-o', file])).code).toBe(0);

    const planted = 'anemone-backup-FR1-20300101-000000.enc';
    await us1.stop();
    await writeFile(join(us1.data, 'FR1', planted), randomBytes(1000));
    await us1.startInside();
    const listed = await fr1.peer(['list', 'FR1', '--json']);
    expect(listed.stdout).not.toContain(planted);
    expect((await us1.peer(['status'])).stdout).toContain(planted);
  });

  it('6: a restore needs nothing that only the backup has', async () => {
    const bare = join(mesh.root, 'bare');
    const { code, stdout } = await anemonePeer(
      [...['restore', 'latest', '--server', 'FR1', '--peer', fr2.address], ...['--target', bare, '--dry-run', '--yes']],
      { cwd: mesh.root, env: { ANEMONE_RECOVERY_KEY_COMMAND: `echo ${fr1.recoveryKey}` } },
    );
    expect({ code, stdout }).toMatchObject({ code: 0, stdout: expect.stringContaining('wireguard/private.key') });
    await expect(readdir(bare)).rejects.toThrow('ENOENT');
  });

  it('8: a removed peer is a stranger, and no peer can pass for another', async () => {
    const before = await us1.holds('FR1');
    expect((await us1.peer(['peer', 'remove', 'FR1'])).code).toBe(0);
    const refused = await fr1.peer(['backup', '--force', '--json']);
    expect(refused.code).toBe(3);
    expect(reportOf(refused.stdout).peers).toMatchObject([
      { peer: 'FR2', outcome: 'done' },
      { peer: 'US1', outcome: 'failed' },
    ]);
    expect(await us1.holds('FR1')).toEqual(before);
    await us1.events.until('stranger refused', ({ reason }) => String(reason).includes(fr1.identity));
    await us1.addPeer('FR1', fr1.address, fr2.identity).catch(() => {});
    expect((await us1.peer(['peer', 'list'])).stdout).not.toContain('FR1');
  });

  it('9: a restore changes the live configuration in one step or not at all, and keeps what was there', async () => {
    const live = join(fr1.folder, 'config');
    await fr1.stop();
    await writeFile(join(live, 'empty'), 'changed after the backup');
    const before = await describeTree(live);
    const hostile = join(mesh.root, 'hostile.enc');
    const keyFile = join(mesh.root, 'restic.key');
    await writeFile(keyFile, 'key text', { mode: 0o600 });
    await writeFile(
      hostile,
      sealAsPredecessor(await tarGz({ 'config/empty': 'evil', '../escaped': 'evil', 'config/z': 'z' }), 'key text'),
    );
    const refused = await fr1.peer(['restore', '--from', hostile, '--yes', '--allow-unauthenticated'], {
      env: { ANEMONE_RESTIC_KEY_FILE: keyFile },
    });
    expect(refused.code).toBe(13);
    expect(await describeTree(live)).toEqual(before);
    expect(await readdir(mesh.root)).not.toContain('escaped');

    const inArguments = await fr1.peer(['restore', 'latest', '--yes', '--key', fr1.recoveryKey]);
    expect(inArguments.code).toBe(2);
    const restored = await fr1.peer(['restore', 'latest', '--yes', '--key-stdin'], { input: fr1.recoveryKey });
    expect(restored.code).toBe(0);
    expect(await readFile(join(live, 'empty'), 'utf8')).toBe('');
    const [, kept = ''] = /before: ([^)]*)/.exec(restored.stdout) ?? [];
    expect(await readFile(join(kept, 'empty'), 'utf8')).toBe('changed after the backup');
    await fr1.startInside();
  });

  it('10: what lies on a peer is the real tree, and opens with the age library and the recovery key alone', async () => {
    const [name = ''] = (await fr2.holds('FR1')).slice(-1);
    const opener = new Decrypter();
    opener.addIdentity(deriveKeys(parseRecoveryKey(fr1.recoveryKey)).ageIdentity);
    const archive = gunzipSync(await opener.decrypt(await readFile(join(fr2.data, 'FR1', name))));
    for (const path of ['config/config.yaml', 'config/wireguard/private.key', 'config/hooks/after-start']) {
      expect(archive.includes(path)).toBe(true);
    }
    expect(archive.includes(await readFile(join(fr1.folder, 'config/large.bin')))).toBe(true);
  });
});
