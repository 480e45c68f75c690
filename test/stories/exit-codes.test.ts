import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { deriveKeys, formatRecoveryKey, generateRecoveryKey } from '../../src/mesh/identity/recovery-key.js';
import { flipBit } from '../support/flip-bit.js';
import { type Mesh, type MeshServer, makeMesh } from '../support/mesh.js';
import { anemoneNode, anemonePeer, clientProgram } from '../support/program.js';

let mesh: Mesh;
let fr1: MeshServer;
let fr2: MeshServer;

beforeAll(async () => {
  mesh = await makeMesh('FR1', 'FR2');
  fr1 = mesh.server('FR1');
  fr2 = mesh.server('FR2');
  await fr1.sets(`
backup:
  paths: [./config]
broken:
  command: [sh, -c, "echo half; exit 7"]
slow:
  command: [sh, -c, "echo begun; while [ ! -e release ]; do sleep 0.05; done"]
`);
  await fr2.startInside();
  await fr1.startInside();
}, 120_000);
afterAll(() => mesh.close(), 60_000);

/** Starts `anemone-peer` without waiting for its end. */
function begin(...args: string[]) {
  const child = spawn(process.execPath, [clientProgram, ...args], { cwd: fr1.folder, stdio: 'ignore' });
  const ended = once(child, 'close');
  return { child, ended: ended.then(([code]) => code as number | null) };
}

describe('the exit code', { timeout: 180_000 }, () => {
  it('is 0 when a backup is on every peer', async () => {
    const { code, stdout } = await fr1.peer(['backup', '--set', 'backup']);
    expect({ code, stdout }).toMatchObject({ code: 0, stdout: expect.stringContaining('Done, all of it.') });
    expect(await fr2.holds('FR1')).toEqual(await fr1.holds('local'));
  });

  it('is 0 when nothing changed and every peer has the last backup', async () => {
    const { code, stdout } = await fr1.peer(['backup', '--set', 'backup']);
    expect({ code, stdout }).toMatchObject({ code: 0, stdout: expect.stringContaining('Nothing changed') });
    expect(await fr1.holds('local')).toHaveLength(1);
  });

  it('is 1 when nothing could be saved', async () => {
    const { code, stdout } = await fr1.peer(['backup', '--set', 'broken']);
    expect({ code, stdout }).toMatchObject({ code: 1, stdout: expect.stringContaining('exit code 7') });
    expect(await fr1.holds('local')).toHaveLength(1);
  });

  it('is 2 for wrong usage, and for a wrong configuration, which both programs name by file and line', async () => {
    expect((await fr1.peer(['backup', '--sett', 'backup'])).code).toBe(2);
    const wrong = join(mesh.root, 'wrong.yaml');
    await writeFile(wrong, (await readFile(fr1.config, 'utf8')).replace('schedule:', 'scedule:'));
    const asked = await fr1.peer(['list', '--config', wrong]);
    expect(asked).toMatchObject({ code: 2, stderr: expect.stringMatching(/wrong\.yaml:\d+.*scedule/) });
    for (const args of [[], ['--check']]) {
      const served = await anemoneNode([...args, '--config', wrong], { cwd: fr1.folder });
      expect(served).toMatchObject({ code: 2, stderr: expect.stringMatching(/wrong\.yaml:\d+.*scedule/) });
    }
  });

  it('is 3 when a peer did not answer, or did not get its backup, and the peer is named', async () => {
    await fr2.stop();
    try {
      const listed = await fr1.peer(['list']);
      expect(listed).toMatchObject({ code: 3, stdout: expect.stringContaining('FR2 did not answer') });
      const saved = await fr1.peer(['backup', '--set', 'backup', '--force']);
      expect(saved).toMatchObject({ code: 3, stdout: expect.stringContaining('Done in part.') });
      expect(saved.stdout).toMatch(/FR2.*failed/);
    } finally {
      await fr2.startInside();
    }
  });

  it('is 10 when there is no such backup', async () => {
    expect((await fr1.peer(['show', 'anemone-backup-FR1-20200101-000000.enc'])).code).toBe(10);
    expect((await fr1.peer(['list', 'NOBODY'])).code).toBe(10);
    expect((await fr1.peer(['fetch', 'ffffffffffff'])).code).toBe(10);
    expect((await fr1.peer(['backup', '--set', 'nosuch'])).code).toBe(10);
  });

  it('is 11 while another run is under way, and 130 for the run that is interrupted', async () => {
    fr1.events.clear();
    const first = begin('backup', '--set', 'slow');
    await fr1.events.until('run started');
    const second = await fr1.peer(['backup', '--set', 'backup']);
    expect(second).toMatchObject({ code: 11, stderr: expect.stringContaining('another run is under way') });
    expect(fr1.events.count('call refused', ({ kind, from }) => kind === 'locked' && from === 'this server')).toBe(1);
    first.child.kill('SIGINT');
    expect(await first.ended).toBe(130);
    await fr1.events.until('run finished', ({ summary }) => String(summary).includes('interrupted'));
    expect((await readdir(join(fr1.data, '.incoming'))).filter((file) => file.endsWith('.tmp'))).toEqual([]);
    expect((await fr1.peer(['backup', '--set', 'backup'])).code).toBe(0);
  });

  it('is 12 for the key of another server, and for text that is no key', async () => {
    const other = generateRecoveryKey();
    expect(deriveKeys(other).identity).not.toBe(fr1.identity);
    const restore = ['restore', 'latest', '--target', join(mesh.root, 'out'), '--yes', '--key-stdin'];
    const wrong = await fr1.peer(restore, { input: formatRecoveryKey(other) });
    expect(wrong).toMatchObject({ code: 12, stderr: expect.stringContaining('another server') });
    expect((await fr1.peer(restore, { input: 'not a key' })).code).toBe(12);
    await expect(readdir(join(mesh.root, 'out'))).rejects.toThrow('ENOENT');
  });

  it('is 13 when another server answers in the place of a peer', async () => {
    const us1 = await mesh.add('US1');
    await us1.addPeer('FR2', fr1.address, fr2.identity);
    const fetched = await us1.peer(['fetch', 'latest', '--peer', 'FR2']);
    expect(fetched).toMatchObject({ code: 13, stderr: expect.stringContaining(fr1.identity) });
  });

  it('is 13 for a file that nobody signed, and for bytes that were changed', async () => {
    const file = join(mesh.root, 'fetched.enc');
    expect((await fr1.peer(['fetch', 'latest', '-o', file])).code).toBe(0);
    const restore = ['restore', '--from', file, '--target', join(mesh.root, 'out'), '--yes', '--key-stdin'];
    await flipBit(file, -20);
    const changed = await fr1.peer(restore, { input: fr1.recoveryKey });
    expect(changed).toMatchObject({ code: 13, stderr: expect.stringContaining('is damaged') });
    await rm(`${file}.manifest`);
    const unsigned = await fr1.peer(restore, { input: fr1.recoveryKey });
    expect(unsigned).toMatchObject({ code: 13, stderr: expect.stringContaining('--allow-unauthenticated') });
    await expect(readdir(join(mesh.root, 'out'))).rejects.toThrow('ENOENT');
  });

  it('is 75 when nobody at all can be reached', async () => {
    await fr1.stop();
    await fr2.stop();
    try {
      expect((await fr1.peer(['list'])).code).toBe(75);
      expect((await fr1.peer(['backup'])).code).toBe(75);
      const bare = await anemonePeer(
        ['restore', 'latest', '--server', 'FR1', '--peer', fr2.address, '--yes', '--key-stdin'],
        { cwd: mesh.root, input: fr1.recoveryKey },
      );
      expect(bare.code).toBe(75);
    } finally {
      await fr2.startInside();
      await fr1.startInside();
    }
  });
});
