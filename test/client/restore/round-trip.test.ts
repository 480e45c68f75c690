import { randomBytes } from 'node:crypto';
import { chmod, chown, link, lutimes, mkdir, mkdtemp, readdir, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { gunzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { removeTree, stagingFolder } from '../../../src/client/restore/unpack/staging.js';
import { unpack } from '../../../src/client/restore/unpack/unpack.js';
import { openSource } from '../../../src/node/sources/open-source.js';
import { newReading } from '../../contracts/source.contract.js';
import { putIntoPlace } from '../../support/put-into-place.js';
import { describeTree } from '../../support/tree.js';
import { stream } from './raw-tar.js';

const isRoot = process.getuid?.() === 0;
const nobody = 65534;
let base: string;
beforeEach(async () => {
  base = await mkdtemp(join(tmpdir(), 'anemone-round-trip-'));
  await mkdir(join(base, 'server'));
  await mkdir(join(base, 'bare'));
});
afterEach(async () => {
  if (isRoot) process.seteuid?.(0);
  await removeTree(base);
});

const long = `${'long name '.repeat(20)}end`;

/** A tree with everything that has ever gone wrong in a backup. */
async function buildNastyTree(server: string): Promise<void> {
  const at = (name: string): string => join(server, 'config', name);
  await mkdir(at('deep/er/est'), { recursive: true });
  await mkdir(at(`${long}/${long}`), { recursive: true });
  const files: readonly (readonly [string, string | Buffer, number])[] = [
    ['app.yaml', 'a: 1\n', 0o644],
    ['private.key', randomBytes(32), 0o600],
    ['run.sh', '#!/bin/sh\n', 0o755],
    ['empty', '', 0o644],
    ['unreadable', 'x', isRoot ? 0o000 : 0o400],
    ['with space and é, ü, 漢字, 😀', 'unicode', 0o640],
    ['é'.normalize('NFD'), 'decomposed', 0o644],
    ['é'.normalize('NFC'), 'composed', 0o644],
    ['-rf', 'looks like a flag', 0o644],
    ['*', 'looks like a pattern', 0o644],
    ['back\\slash', 'x', 0o644],
    ['new\nline\tand\u0007bell', 'x', 0o644],
    ['.hidden', 'x', 0o444],
    ['deep/er/est/file', 'deep', 0o644],
    [`${long}/${long}/file`, 'long', 0o644],
    ['block', Buffer.alloc(512, 'b'), 0o644],
    ['zeros', Buffer.alloc(100_000), 0o644],
    ['large', randomBytes(3 * 2 ** 20 + 1), 0o644],
  ];
  for (const [name, content, mode] of files) {
    await writeFile(at(name), content);
    await chmod(at(name), mode);
  }
  await link(at('app.yaml'), at('deep/hard-link'));
  await link(at('app.yaml'), at('zz-hard-link'));
  await symlink('app.yaml', at('link'));
  await symlink('/etc/passwd', at('absolute-link'));
  await symlink('../../outside//./x', at('dangling-link'));
  await symlink('x/'.repeat(150), at('link-to-somewhere-long'));
  await mkdir(at('empty-folder'));
  await mkdir(at('readonly-folder'));
  await writeFile(at('readonly-folder/file'), 'x');
  await mkdir(at('locked-folder/inside'), { recursive: true });
  await setTimes(server);
  await chmod(at('locked-folder'), isRoot ? 0o000 : 0o500);
  await chmod(at('readonly-folder'), 0o500);
}

async function setTimes(server: string): Promise<void> {
  const names = (await readdir(server, { recursive: true })).sort().reverse();
  const places = [-1000, 1, 1_000_000_000, 1_700_000_123, 2_500_000_000];
  for (const [index, name] of names.entries()) {
    const time = new Date((places[index % places.length] ?? 0) * 1000);
    await lutimes(join(server, name), time, time);
  }
}

async function pack(server: string): Promise<Buffer> {
  const { context, warnings } = newReading();
  const bytes = await buffer(openSource({ kind: 'paths', paths: ['./config'], exclude: [] }, server, []).read(context));
  expect(warnings).toEqual([]);
  return bytes;
}

async function restore(archive: Buffer, options: object = {}): Promise<void> {
  const target = join(base, 'bare');
  const staging = stagingFolder(target, '20261123-010000');
  const { entries } = await unpack(stream(archive), staging, { controlCharacters: true, ...options });
  await putIntoPlace({ staging, target, entries, stamp: '20261123-010000' });
}

describe('a tree that is packed, unpacked and put into place', () => {
  it('comes back byte for byte, with modes, times, links and nothing else', async () => {
    await buildNastyTree(join(base, 'server'));
    await restore(await pack(join(base, 'server')));
    const before = await describeTree(join(base, 'server'));
    expect(before).toHaveLength(35);
    expect(await describeTree(join(base, 'bare'))).toEqual(before);
  });

  it('comes back from plain tar as well, in chunks of any size', async () => {
    await buildNastyTree(join(base, 'server'));
    const plain = gunzipSync(await pack(join(base, 'server')));
    const { entries } = await unpack(stream(plain, 1021), join(base, 'staging'), { controlCharacters: true });
    expect(await describeTree(join(base, 'staging'))).toEqual(await describeTree(join(base, 'server')));
    expect(entries.filter(({ kind }) => kind === 'hard-link').map(({ path, target }) => [path, target])).toEqual([
      ['config/deep/hard-link', 'config/app.yaml'],
      ['config/zz-hard-link', 'config/app.yaml'],
    ]);
  });

  it('comes back one byte at a time', async () => {
    await mkdir(join(base, 'server/config'));
    await writeFile(join(base, 'server/config/file'), 'content');
    const archive = await pack(join(base, 'server'));
    await unpack(stream(archive, 1), join(base, 'gzip'));
    await unpack(stream(gunzipSync(archive), 1), join(base, 'plain'));
    const before = await describeTree(join(base, 'server'));
    expect(await describeTree(join(base, 'gzip'))).toEqual(before);
    expect(await describeTree(join(base, 'plain'))).toEqual(before);
  });

  it.skipIf(!isRoot)('comes back for a user who is not root, also folders that forbid writing', async () => {
    await buildNastyTree(join(base, 'server'));
    const archive = await pack(join(base, 'server'));
    const before = await describeTree(join(base, 'server'));
    await chmod(base, 0o755);
    await chown(join(base, 'bare'), nobody, nobody);
    process.seteuid?.(nobody);
    await restore(archive);
    process.seteuid?.(0);
    const after = await describeTree(join(base, 'bare'));
    expect(after.map((line) => line.replace(` ${nobody} `, ' 0 '))).toEqual(before);
  });

  it.skipIf(!isRoot)('comes back with its owners, as root, when asked for', async () => {
    await buildNastyTree(join(base, 'server'));
    await chown(join(base, 'server/config/private.key'), 1234, 200_000_000);
    await chmod(join(base, 'server/config/run.sh'), 0o4755);
    await restore(await pack(join(base, 'server')), { ownership: true });
    expect(await describeTree(join(base, 'bare'))).toEqual(await describeTree(join(base, 'server')));
  });
});
