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
import { afterEach, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { planExchanges } from '../../../../src/client/restore/place/exchanges.js';
import { intoPlace } from '../../../../src/client/restore/place/into-place.js';
import { openTarget } from '../../../../src/client/restore/place/target.js';
import { readGround, unitsOf } from '../../../../src/client/restore/place/units.js';
import {
  removeStaleStaging,
  removeTree,
  restoreStamp,
  stagingFolder,
} from '../../../../src/client/restore/unpack/staging.js';
import { type UnpackedEntry, unpack } from '../../../../src/client/restore/unpack/unpack.js';
import { Failure } from '../../../../src/mesh/terms/failure.js';
import { putIntoPlace } from '../../../support/put-into-place.js';
import { type RawMember, rawTar, stream } from '../raw-tar.js';

const stamp = '20261123-010000';
let target: string;
let staging: string;
beforeEach(async () => {
  target = await mkdtemp(join(tmpdir(), 'anemone-place-'));
  staging = stagingFolder(target, stamp);
});
afterEach(() => removeTree(target));

const undisturbed = new AbortController().signal;

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
    const { switched } = await putIntoPlace({ staging, target, entries, stamp });
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
    const { switched } = await putIntoPlace({ staging, target, entries, stamp });
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
    await putIntoPlace({ staging, target, entries, stamp });
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
    await putIntoPlace({ staging, target, entries, stamp });
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
    await putIntoPlace({ staging, target, entries, stamp });
    process.seteuid?.(0);
    expect(await tree()).toEqual({ ro: '/', 'ro/file': 'new' });
    expect((await lstat(join(target, 'ro'))).mode & 0o777).toBe(0o500);
  });

  it('takes a folder apart also where its mode in the backup forbids that', async () => {
    await mkdir(join(target, 'ro/data'), { recursive: true });
    for (const path of [target, join(target, 'ro')]) await chown(path, 65534, 65534);
    process.seteuid?.(65534);
    const entries = await prepare(
      { name: 'ro/', type: '5', mode: 0o500 },
      { name: 'ro/sub/', type: '5', mode: 0o400 },
      { name: 'ro/sub/file', body: 'new' },
      { name: 'ro/file', body: 'new' },
    );
    const ground = await readGround(target, { data: [join(target, 'ro/data')], selects: null });
    await intoPlace({ staging, stamp, ground, units: await unitsOf(entries, ground) }, undisturbed);
    process.seteuid?.(0);
    expect(await tree()).toEqual({ ro: '/', 'ro/data': '/', 'ro/file': 'new', 'ro/sub': '/', 'ro/sub/file': 'new' });
    expect((await lstat(join(target, 'ro/sub'))).mode & 0o777).toBe(0o400);
  });
});

describe('a restore that cannot be put into place', () => {
  it('is refused when a folder above a root is a symlink, before anything has changed', async () => {
    await put('a', 'old');
    await mkdir(join(target, 'elsewhere'));
    await symlink('elsewhere', join(target, 'etc'));
    const before = await tree();
    const entries = await prepare({ name: 'a', body: 'new' }, { name: 'etc/passwd', body: 'new' });
    const placing = putIntoPlace({ staging, target, entries, stamp });
    await expect(placing).rejects.toMatchObject({
      kind: 'invalid',
      message: expect.stringContaining('symbolic link'),
    });
    expect(await tree()).toEqual(before);
  });

  it('is not begun any more when somebody has interrupted it', async () => {
    await put('a', 'old');
    const entries = await prepare({ name: 'a', body: 'new' });
    const interrupted = AbortSignal.abort(new Failure('interrupted', 'interrupted'));
    const placing = putIntoPlace({ staging, target, entries, stamp }, interrupted);
    await expect(placing).rejects.toMatchObject({ kind: 'interrupted' });
    expect(await tree()).toEqual({ a: 'old' });
  });

  it('is refused when a folder above a root is a file', async () => {
    await put('etc', 'a file');
    const entries = await prepare({ name: 'etc/passwd', body: 'new' });
    await expect(putIntoPlace({ staging, target, entries, stamp })).rejects.toMatchObject({ kind: 'invalid' });
    expect(await tree()).toEqual({ etc: 'a file' });
  });

  it('is refused when the name for what was there is taken', async () => {
    await put('a', 'old');
    await put(`b.before-${stamp}`, 'older');
    await put('b', 'old');
    const before = await tree();
    const entries = await prepare({ name: 'a', body: 'new' }, { name: 'b', body: 'new' });
    await expect(putIntoPlace({ staging, target, entries, stamp })).rejects.toMatchObject({ kind: 'conflict' });
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
    const failure = await putIntoPlace({ staging, target, entries, stamp }).catch((error) => error);
    expect(failure).toMatchObject({
      kind: 'failed',
      message: expect.stringMatching(/\/z cannot.*everything was put back/),
      hint: expect.stringContaining('--exclude /z'),
    });
    expect(await tree()).toEqual(before);
  });

  it.skipIf(process.getuid?.() !== 0)('takes everything back when a folder may not be written to', async () => {
    await put('a', 'old');
    await put('locked/*b', 'old');
    const before = await tree();
    const entries = await prepare({ name: 'a', body: 'new' }, { name: 'locked/*b', body: 'new' });
    for (const path of [target, staging, join(staging, 'a'), join(staging, 'locked'), join(staging, 'locked/*b')]) {
      await chown(path, 65534, 65534);
    }
    await chmod(join(target, 'locked'), 0o555);
    process.seteuid?.(65534);
    const failure = await putIntoPlace({ staging, target, entries, stamp }).catch((error) => error);
    process.seteuid?.(0);
    expect(failure).toMatchObject({
      kind: 'failed',
      message: expect.stringMatching(/EACCES.*everything was put back/),
      hint: "Mend that, or restore all else with --exclude '/locked/\\*b'.",
    });
    expect(await tree()).toEqual(before);
  });
});

describe('what is exchanged as one thing', () => {
  it('is not a folder with the data of the node in it: that stays, and what the backup has around it is exchanged', async () => {
    await put('srv/app/old', 'old');
    await put('srv/anemone/data/kept', 'kept');
    const entries = await prepare(
      folder('srv/'),
      folder('srv/anemone/'),
      { name: 'srv/anemone/notes', body: 'new' },
      folder('srv/app/'),
      { name: 'srv/app/new', body: 'new' },
      { name: 'srv/joined', type: '1', linkname: 'srv/anemone/notes' },
    );
    const data = [join(target, 'srv/anemone/data'), join(target, 'not/there')];
    const ground = await readGround(target, { data, selects: null });
    await intoPlace({ staging, stamp, ground, units: await unitsOf(entries, ground) }, undisturbed);
    expect(await tree()).toEqual({
      srv: '/',
      'srv/anemone': '/',
      'srv/anemone/data': '/',
      'srv/anemone/data/kept': 'kept',
      'srv/anemone/notes': 'new',
      'srv/app': '/',
      'srv/app/new': 'new',
      [`srv/app.before-${stamp}`]: '/',
      [`srv/app.before-${stamp}/old`]: 'old',
      'srv/joined': 'new',
    });
    expect((await lstat(join(target, 'srv/joined'))).nlink).toBe(2);
  });

  it('is a folder in which the data of a node would lie, where that is not there', async () => {
    await put('srv/old', 'old');
    const entries = await prepare(folder('srv/'), { name: 'srv/new', body: 'new' });
    const ground = await readGround(target, { data: [join(target, 'srv/data')], selects: null });
    expect(await unitsOf(entries, ground)).toMatchObject([{ path: 'srv' }]);
  });

  it('is not a folder with a link in it that leads to the data of the node, which nothing would find without it', async () => {
    await put('elsewhere/kept', 'kept');
    await mkdir(join(target, 'srv'));
    await symlink('../elsewhere', join(target, 'srv/data'));
    const entries = await prepare(folder('srv/'), { name: 'srv/new', body: 'new' }, folder('elsewhere/'));
    const ground = await readGround(target, { data: [join(target, 'srv/data')], selects: null });
    expect(await unitsOf(entries, ground)).toMatchObject([{ path: 'srv/new' }]);
  });
});

describe('what cannot be put into place as things are', () => {
  const planned = async (entries: readonly UnpackedEntry[], at: string, ...data: string[]) => {
    const ground = await readGround(at, { data, selects: null });
    const place = { staging: stagingFolder(at, stamp), ground, units: await unitsOf(entries, ground), stamp };
    return planExchanges(place);
  };

  it('is named with the reason, and does not keep the others out', async () => {
    await put('srv/data/kept', 'kept');
    await put('data/kept', 'kept');
    const entries = await prepare({ name: 'a', body: 'new' }, { name: 'srv', body: 'no folder' }, folder('data/'), {
      name: 'data/kept',
      body: 'new',
    });
    const data = ['srv/data', 'data'].map((name) => join(target, name));
    const { exchanges, unplaceable } = await planned(entries, target, ...data);
    expect(exchanges.map(({ path }) => path)).toEqual([join(target, 'a')]);
    expect(unplaceable.map(({ path, why }) => [path, why.kind, why.message])).toEqual([
      [
        'srv',
        'invalid',
        `${target}/srv cannot be replaced: the data of the node, ${target}/srv/data, would be put aside with it`,
      ],
      [
        'data/kept',
        'invalid',
        `${target}/data/kept cannot be replaced: it lies in the data of the node, ${target}/data`,
      ],
    ]);
  });

  it('is found for a target that is not there yet', async () => {
    const entries = await prepare({ name: 'etc/app.conf', body: 'new' });
    const missing = join(target, 'not/there');
    expect(await planned(entries, missing)).toMatchObject({ exchanges: [{ previous: null }], unplaceable: [] });
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

  it('is not what another one has in a folder on another disk, which is at work there', async () => {
    const disk = await mkdtemp('/dev/shm/anemone-place-');
    onTestFinished(() => removeTree(disk));
    staging = stagingFolder(disk, stamp);
    const entries = await prepare({ name: 'a', body: 'new' });
    await put('.anemone-restore-20261123-020000/b', 'of the other one');
    const { close } = await openTarget(target);
    await putIntoPlace({ staging, target, entries, stamp });
    await close();
    expect(await tree()).toMatchObject({ a: 'new', '.anemone-restore-20261123-020000/b': 'of the other one' });
  });

  it('is not what is being copied there from another disk: none begins there meanwhile', async () => {
    const disk = await mkdtemp('/dev/shm/anemone-place-');
    onTestFinished(() => removeTree(disk));
    staging = stagingFolder(disk, stamp);
    const many = Array.from({ length: 50 }, (_, nth) => ({ name: `a/${nth}`, body: 'new' }));
    const entries = await prepare(...many);
    const { signal } = new AbortController();
    const others: Promise<unknown>[] = [];
    signal.throwIfAborted = () => void others.push(openTarget(target).catch(({ kind }) => kind));
    await putIntoPlace({ staging, target, entries, stamp }, signal);
    expect(await others[0]).toBe('locked');
    await (await openTarget(target)).close();
  });

  it('is nothing where the target does not exist yet', async () => {
    expect(await removeStaleStaging(join(target, 'missing'))).toEqual([]);
  });

  it('carries the moment of the restore', () => {
    expect(restoreStamp(Date.parse('2026-11-23T01:00:00.999Z'))).toBe(stamp);
  });
});
