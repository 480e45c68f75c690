import {
  chmod,
  chown,
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  readlink,
  rename,
  rm,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { planExchanges } from '../../../../src/client/restore/place/exchanges.js';
import { intoPlace } from '../../../../src/client/restore/place/into-place.js';
import { parseMounts } from '../../../../src/client/restore/unpack/mounts.js';
import {
  removeStaleStaging,
  removeTree,
  restoreStamp,
  stagingFolder,
} from '../../../../src/client/restore/unpack/staging.js';
import { type UnpackedEntry, unpack } from '../../../../src/client/restore/unpack/unpack.js';
import { type RawMember, rawTar, stream } from '../raw-tar.js';

const stamp = '20261123-010000';
let target: string;
let staging: string;
beforeEach(async () => {
  target = await mkdtemp(join(tmpdir(), 'anemone-place-'));
  staging = stagingFolder(target, stamp);
});
afterEach(() => removeTree(target));

const folder = (name: string): RawMember => ({ name, type: '5', mode: 0o755 });

async function prepare(...members: RawMember[]): Promise<readonly UnpackedEntry[]> {
  return (await unpack(stream(rawTar(...members)), staging)).entries;
}

async function put(name: string, content: string): Promise<void> {
  await mkdir(join(target, name, '..'), { recursive: true });
  await writeFile(join(target, name), content);
}

async function tree(): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  for (const name of (await readdir(target, { recursive: true })).sort()) {
    const path = join(target, name);
    const stats = await lstat(path);
    if (stats.isFile()) found[name] = await readFile(path, 'utf8');
    else found[name] = stats.isDirectory() ? '/' : `-> ${await readlink(path)}`;
  }
  return found;
}

describe('putting a restore into place', () => {
  it('on a bare machine makes the parents, and leaves nothing else', async () => {
    const entries = await prepare(
      folder('etc/wireguard/'),
      { name: 'etc/wireguard/wg0.conf', body: 'new' },
      { name: 'top', body: 'new' },
    );
    const { switched } = await intoPlace({ staging, target, entries, stamp });
    expect(switched).toEqual([
      { path: join(target, 'etc/wireguard'), previous: null },
      { path: join(target, 'top'), previous: null },
    ]);
    expect(await tree()).toEqual({ etc: '/', 'etc/wireguard': '/', 'etc/wireguard/wg0.conf': 'new', top: 'new' });
    expect((await lstat(join(target, 'etc'))).mode & 0o777).toBe(0o755);
  });

  it('keeps what was there beside it, as a whole, and does not touch the neighbours', async () => {
    await put('config/old', 'old');
    await put('file', 'old');
    await put('neighbour/x', 'mine');
    await symlink('nowhere', join(target, 'link'));
    const entries = await prepare(
      folder('config/'),
      { name: 'config/new', body: 'new' },
      { name: 'file', body: 'new' },
      { name: 'link', body: 'new' },
    );
    const { switched } = await intoPlace({ staging, target, entries, stamp });
    expect(switched[0]).toEqual({ path: join(target, 'config'), previous: join(target, `config.before-${stamp}`) });
    expect(await tree()).toEqual({
      config: '/',
      'config/new': 'new',
      [`config.before-${stamp}`]: '/',
      [`config.before-${stamp}/old`]: 'old',
      file: 'new',
      [`file.before-${stamp}`]: 'old',
      link: 'new',
      [`link.before-${stamp}`]: '-> nowhere',
      neighbour: '/',
      'neighbour/x': 'mine',
    });
  });

  it('exchanges a folder that the archive only implies one member at a time', async () => {
    await put('etc/hosts', 'mine');
    const entries = await prepare({ name: 'etc/app.conf', body: 'new' }, { name: 'etc/app.d/a', body: 'new' });
    await intoPlace({ staging, target, entries, stamp });
    expect(await tree()).toEqual({
      etc: '/',
      'etc/app.conf': 'new',
      'etc/app.d': '/',
      'etc/app.d/a': 'new',
      'etc/hosts': 'mine',
    });
  });

  it('works through a target that is itself reached by a link', async () => {
    await rename(target, `${target}-real`);
    await symlink(`${target}-real`, target);
    const entries = await prepare({ name: 'a', body: 'new' });
    await intoPlace({ staging, target, entries, stamp });
    expect(await readFile(join(`${target}-real`, 'a'), 'utf8')).toBe('new');
    await rm(target);
    await rename(`${target}-real`, target);
  });
});

describe.skipIf(process.getuid?.() !== 0)('as a user who is not root', () => {
  afterEach(() => process.seteuid?.(0));

  it('moves a folder that forbids writing, and keeps its mode', async () => {
    await chown(target, 65534, 65534);
    process.seteuid?.(65534);
    const entries = await prepare({ name: 'ro/', type: '5', mode: 0o500 }, { name: 'ro/file', body: 'new' });
    await intoPlace({ staging, target, entries, stamp });
    process.seteuid?.(0);
    expect(await tree()).toEqual({ ro: '/', 'ro/file': 'new' });
    expect((await lstat(join(target, 'ro'))).mode & 0o777).toBe(0o500);
  });
});

describe('a restore that cannot be put into place', () => {
  it('is refused when a folder above a root is a symlink, before anything has changed', async () => {
    await put('a', 'old');
    await mkdir(join(target, 'elsewhere'));
    await symlink('elsewhere', join(target, 'etc'));
    const before = await tree();
    const entries = await prepare({ name: 'a', body: 'new' }, { name: 'etc/passwd', body: 'new' });
    const placing = intoPlace({ staging, target, entries, stamp });
    await expect(placing).rejects.toMatchObject({
      kind: 'forbidden',
      message: expect.stringContaining('symbolic link'),
    });
    expect(await tree()).toEqual(before);
  });

  it('is refused when a folder above a root is a file', async () => {
    await put('etc', 'a file');
    const entries = await prepare({ name: 'etc/passwd', body: 'new' });
    await expect(intoPlace({ staging, target, entries, stamp })).rejects.toMatchObject({ kind: 'forbidden' });
    expect(await tree()).toEqual({ etc: 'a file' });
  });

  it('is refused when the name for what was there is taken', async () => {
    await put('a', 'old');
    await put(`b.before-${stamp}`, 'older');
    await put('b', 'old');
    const before = await tree();
    const entries = await prepare({ name: 'a', body: 'new' }, { name: 'b', body: 'new' });
    await expect(intoPlace({ staging, target, entries, stamp })).rejects.toMatchObject({ kind: 'conflict' });
    expect(await tree()).toEqual(before);
  });

  it('takes back what was exchanged before the step that failed, and says so', async () => {
    await put('config/old', 'old');
    await put('z', 'old');
    const before = await tree();
    const entries = await prepare(
      folder('config/'),
      { name: 'config/new', body: 'new' },
      { name: 'etc/fresh', body: 'new' },
      { name: 'z', body: 'new' },
    );
    await rm(join(staging, 'z'));
    const failure = await intoPlace({ staging, target, entries, stamp }).catch((error) => error);
    expect(failure).toMatchObject({
      kind: 'failed',
      message: expect.stringMatching(/\/z cannot.*everything was put back/),
    });
    expect(await tree()).toEqual(before);
  });

  it.skipIf(process.getuid?.() !== 0)('takes everything back when a folder may not be written to', async () => {
    await put('a', 'old');
    await put('locked/b', 'old');
    const before = await tree();
    const entries = await prepare({ name: 'a', body: 'new' }, { name: 'locked/b', body: 'new' });
    for (const path of [target, staging, join(staging, 'a'), join(staging, 'locked'), join(staging, 'locked/b')]) {
      await chown(path, 65534, 65534);
    }
    await chmod(join(target, 'locked'), 0o555);
    process.seteuid?.(65534);
    const failure = await intoPlace({ staging, target, entries, stamp }).catch((error) => error);
    process.seteuid?.(0);
    expect(failure).toMatchObject({
      kind: 'failed',
      message: expect.stringMatching(/EACCES.*everything was put back/),
    });
    expect(await tree()).toEqual(before);
  });
});

describe('what cannot be put into place as things are', () => {
  const mountsAt = (...points: string[]) => parseMounts(points.map((point) => `1 1 0:1 / ${point} rw`).join('\n'));

  it('is named with the reason, and does not keep the others out', async () => {
    await put('etc/mine', 'mine');
    const entries = await prepare({ name: 'a', body: 'new' }, { name: 'etc/app.conf', body: 'new' });
    const mounts = mountsAt('/', join(target, 'etc'));
    const { exchanges, unplaceable } = await planExchanges({ staging, target, entries, stamp }, mounts);
    expect(exchanges.map(({ path }) => path)).toEqual([join(target, 'a')]);
    const message = expect.stringMatching(
      /etc\/app\.conf lies on another file system \(.*\/etc\) than the folder .*\(\/\)$/,
    );
    const why = { kind: 'invalid', message, hint: expect.stringContaining('copy etc/app.conf from there') };
    expect(unplaceable).toMatchObject([{ path: 'etc/app.conf', why }]);
  });

  it.each([true, false])('is a folder with the data of the node in it, where that is there: %s', async (isThere) => {
    const entries = await prepare(folder('srv'), { name: 'srv/app.conf', body: 'new' }, { name: 'etc', body: 'new' });
    const spared = join(target, 'srv/anemone/config-backups');
    await mkdir(join(target, 'srv'));
    if (isThere) await mkdir(spared, { recursive: true });
    const { exchanges, unplaceable } = await planExchanges({ target, staging, entries, stamp, spared });
    expect(exchanges.map(({ path }) => path)).toEqual(
      isThere ? [join(target, 'etc')] : ['srv', 'etc'].map((name) => join(target, name)),
    );
    expect(unplaceable.map(({ path, why }) => [path, why.message])).toEqual(
      isThere ? [['srv', expect.stringContaining(`the data of the node, ${spared}, would be put aside`)]] : [],
    );
  });

  it('is found for a target that is not there yet', async () => {
    const entries = await prepare({ name: 'etc/app.conf', body: 'new' });
    const missing = join(target, 'not/there');
    const there = { staging: stagingFolder(missing, stamp), target: missing, entries, stamp };
    expect(await planExchanges(there)).toMatchObject({ exchanges: [{ previous: null }], unplaceable: [] });
  });
});

describe('what an interrupted restore leaves', () => {
  it('is recognised by its name and removed, also folders that forbid it', async () => {
    await prepare({ name: 'sub/', type: '5', mode: 0o500 }, { name: 'sub/file' });
    await put('.anemone-restore-notes/mine', 'mine');
    await put(`config.before-${stamp}/mine`, 'mine');
    expect(await removeStaleStaging(target)).toEqual([]);
    expect(Object.keys(await tree())).toEqual([
      '.anemone-restore-notes',
      '.anemone-restore-notes/mine',
      `config.before-${stamp}`,
      `config.before-${stamp}/mine`,
    ]);
  });

  it('is nothing where the target does not exist yet', async () => {
    expect(await removeStaleStaging(join(target, 'missing'))).toEqual([]);
  });

  it('carries the moment of the restore', () => {
    expect(restoreStamp(Date.parse('2026-11-23T01:00:00.999Z'))).toBe(stamp);
  });
});
