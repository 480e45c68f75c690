import { once } from 'node:events';
import { lstat, mkdir, readFile, writeFile } from 'node:fs/promises';
import { createServer, type RequestListener } from 'node:http';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type Mesh, type MeshServer, makeMesh, reportOf } from '../support/mesh.js';
import { openAsPredecessor, predecessorMembers, sealAsPredecessor, tarGz } from '../support/predecessor.js';

const keyText = 'the Restic key of FR1';

let mesh: Mesh;
let fr1: MeshServer;
let fr2: MeshServer;
let answer: RequestListener = (_request, response) => void response.end();
const api = createServer((request, response) => answer(request, response));

beforeAll(async () => {
  api.listen(0, '127.0.0.1');
  await once(api, 'listening');
  mesh = await makeMesh('FR1', 'FR2');
  fr1 = mesh.server('FR1');
  fr2 = mesh.server('FR2');
  await writeFile(join(fr1.folder, 'restic.key'), keyText, { mode: 0o600 });
  await fr2.startInside();
}, 120_000);
afterEach(() => fr1.stop());
afterAll(async () => {
  await mesh.close();
  api.close();
});

const exportUrl = (): string => `http://127.0.0.1:${(api.address() as { port: number }).port}/api/config/export`;
const keyFile = () => ({ env: { ANEMONE_RESTIC_KEY_FILE: join(fr1.folder, 'restic.key') } });
const contentOf = (folder: string, path: string) => readFile(join(folder, path), 'utf8');

/** The folder has what the predecessor's archive holds, with the modes that it is to have after a restore. */
async function expectPredecessorTree(folder: string): Promise<void> {
  const modes: Record<string, number> = {
    ssh: 0o700,
    'wireguard/private.key': 0o600,
    'wireguard/public.key': 0o644,
    'ssh/id_rsa': 0o600,
    'ssh/id_rsa.pub': 0o644,
    '.setup-completed': 0o644,
  };
  for (const [path, content] of Object.entries(predecessorMembers)) {
    expect(await contentOf(folder, path)).toBe(content);
  }
  expect(await contentOf(folder, '.setup-completed')).toBe('');
  for (const [path, mode] of Object.entries(modes)) {
    expect({ path, mode: (await lstat(join(folder, path))).mode & 0o777 }).toEqual({ path, mode });
  }
}

describe('a set from an HTTP export', { timeout: 180_000 }, () => {
  it('that is sealed already goes through as it is, and comes back with the key that sealed it', async () => {
    const sealed = sealAsPredecessor(await tarGz(predecessorMembers), keyText);
    answer = (_request, response) => void response.end(sealed);
    await fr1.sets(`export:\n  url: ${exportUrl()}\n  sealed: true`);
    await fr1.startInside();
    expect((await fr1.peer(['backup', '--set', 'export'])).code).toBe(0);
    const [name = ''] = (await fr2.holds('FR1')).filter((file) => file.startsWith('anemone-export-'));
    expect((await readFile(join(fr2.data, 'FR1', name))).equals(sealed)).toBe(true);
    const target = join(mesh.root, 'from export');
    const restored = await fr1.peer(['restore', name, '--target', target, '--yes'], keyFile());
    expect(restored.code).toBe(0);
    await expectPredecessorTree(target);
  });

  it('that is a page, an error, nothing, plaintext or half of it is not saved, and why is told', async () => {
    await fr1.sets(`refused:\n  url: ${exportUrl()}\n  sealed: true`);
    await fr1.startInside();
    const answers: readonly [RequestListener, why: string][] = [
      [(_, response) => void response.end('<!doctype html><title>Log in</title>'), 'HTML'],
      [(_, response) => void response.writeHead(503).end('busy'), '503'],
      [(_, response) => void response.end(), 'empty'],
      [(_, response) => void response.end(JSON.stringify({ password: 'x'.repeat(600) })), 'plaintext'],
      [
        (_, response) => {
          response.writeHead(200, { 'content-length': 5000 });
          response.write(Buffer.alloc(1000, 0xa7), () => response.destroy());
        },
        'cut before the end of the export',
      ],
    ];
    for (const [listener, why] of answers) {
      answer = listener;
      const { code, stdout } = await fr1.peer(['backup', '--set', 'refused']);
      expect({ code, stdout }).toMatchObject({ code: 1, stdout: expect.stringContaining(why) });
    }
    expect((await fr2.holds('FR1')).filter((file) => file.includes('-refused-'))).toEqual([]);
  });
});

describe('a set from a command', { timeout: 180_000 }, () => {
  it('is saved when it ends with 0, refused with its last words when it does not, and stopped when it takes too long', async () => {
    await fr1.sets(`
good:
  command: [sh, -c, "echo dump; echo a warning >&2"]
bad:
  command: [sh, -c, "echo half a dump; echo lost the connection >&2; exit 4"]
endless:
  command: [sh, -c, "echo begun; sleep 600"]
  timeout: 1s
`);
    await fr1.startInside();
    const { code, stdout } = await fr1.peer(['backup', '--json']);
    expect(code).toBe(3);
    expect(reportOf(stdout).sets).toMatchObject([
      { set: 'good', outcome: 'done', sequence: 1 },
      { set: 'bad', outcome: 'failed', problem: { message: expect.stringContaining('lost the connection') } },
      { set: 'endless', outcome: 'failed', problem: { kind: 'timeout' } },
    ]);
    const sets = (await fr2.holds('FR1')).map((file) => file.split('-')[1]);
    expect(sets).toContain('good');
    expect(sets).not.toContain('bad');
    expect(sets).not.toContain('endless');
  });
});

describe('the format of the predecessor', { timeout: 180_000 }, () => {
  it('is written when the configuration says so: what has the Restic key opens it', async () => {
    await fr1.sets('legacy:\n  paths: [./config]');
    await fr1.edit((text) =>
      text.replace(/^ {2}encryption:\n/m, '  encryption:\n    format: anemone-cbc1\n    password_file: ./restic.key\n'),
    );
    await fr1.startInside();
    expect((await fr1.peer(['backup', '--set', 'legacy'])).code).toBe(0);
    const [name = ''] = (await fr2.holds('FR1')).filter((file) => file.includes('-legacy-'));
    const plain = gunzipSync(openAsPredecessor(await readFile(join(fr2.data, 'FR1', name)), keyText));
    expect(plain.includes(await readFile(fr1.config))).toBe(true);
    const target = join(mesh.root, 'from legacy');
    expect((await fr1.peer(['restore', name, '--target', target, '--yes'], keyFile())).code).toBe(0);
    expect(await contentOf(target, 'config/config.yaml')).toBe(await readFile(fr1.config, 'utf8'));
  });

  it('is restored from a file, with the right modes, once a person says that nothing vouches for it', async () => {
    const file = join(mesh.root, 'anemone-backup-FR1-20250101-020000.enc');
    const target = join(mesh.root, 'from predecessor');
    await writeFile(file, sealAsPredecessor(await tarGz(predecessorMembers), keyText));
    await mkdir(target);
    const restore = ['restore', '--from', file, '--target', target, '--yes'];
    expect((await fr1.peer(restore, keyFile())).code).toBe(13);
    const restored = await fr1.peer([...restore, '--allow-unauthenticated'], keyFile());
    expect(restored.code).toBe(0);
    await expectPredecessorTree(target);
    await writeFile(join(mesh.root, 'other.key'), 'another key', { mode: 0o600 });
    const other = { env: { ANEMONE_RESTIC_KEY_FILE: join(mesh.root, 'other.key') } };
    expect((await fr1.peer([...restore, '--allow-unauthenticated'], other)).code).toBe(12);
    await expectPredecessorTree(target);
  });
});
