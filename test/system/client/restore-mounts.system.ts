import { execFileSync, spawnSync } from 'node:child_process';
import { chmod, lstat, mkdir, mkdtemp, readdir, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { restore } from '../../../src/client/commands/restore.js';
import { intoPlace } from '../../../src/client/restore/place/into-place.js';
import { openTarget } from '../../../src/client/restore/place/target.js';
import { readGround, unitsOf } from '../../../src/client/restore/place/units.js';
import { removeTree, stagingFolder } from '../../../src/client/restore/unpack/staging.js';
import { type UnpackedEntry, unpack } from '../../../src/client/restore/unpack/unpack.js';
import { storeServerIdentity } from '../../../src/mesh/identity/server-identity.js';
import { type RawMember, rawTar, stream } from '../../client/restore/raw-tar.js';
import { type BareMachine, makeBareMachine, treeOf } from '../../support/bare-machine.js';
import { commandTrial } from '../../support/command.js';
import { garbage } from '../../support/hostile-peer.js';
import { clientProgram } from '../../support/program.js';
import { putIntoPlace } from '../../support/put-into-place.js';
import { pushTo, sealTree } from '../../support/restorable.js';

const stamp = '20261123-010000';
let target: string;
let staging: string;
let mounted: string[];
beforeEach(async () => {
  if (process.getuid?.() !== 0) throw new Error('this test mounts file systems: run it as root');
  target = await mkdtemp(join(tmpdir(), 'anemone-mounts-'));
  staging = stagingFolder(target, stamp);
  mounted = [];
});
afterEach(async () => {
  for (const path of mounted.reverse()) execFileSync('umount', [path]);
  await removeTree(target);
});

async function mount(name: string, ...how: string[]): Promise<void> {
  const path = join(target, name);
  await mkdir(path, { recursive: true });
  execFileSync('mount', [...how, path]);
  mounted.push(path);
}

async function prepare(...members: RawMember[]): Promise<readonly UnpackedEntry[]> {
  return (await unpack(stream(rawTar(...members)), staging)).entries;
}

const members: readonly RawMember[] = [
  { name: 'config/', type: '5', mode: 0o755 },
  { name: 'config/app', body: 'new', mode: 0o640 },
  { name: 'config/joined', type: '1', linkname: 'config/app' },
  { name: 'config/link', type: '2', linkname: 'app' },
  { name: 'config/sub/', type: '5', mode: 0o500 },
  { name: 'config/sub/file', body: 'deep', mode: 0o400 },
];

describe('a restore over mounts', () => {
  it.each([
    ['another file system', ['-t', 'tmpfs', 'tmpfs']],
    ['a part of the same file system', ['--bind', '/var/tmp/anemone-mounted']],
  ])('exchanges the children of a root where %s is mounted', async (_, how) => {
    execFileSync('rm', ['-rf', '/var/tmp/anemone-mounted']);
    await mkdir('/var/tmp/anemone-mounted');
    await mount('config', ...how);
    await writeFile(join(target, 'config/app'), 'old');
    await writeFile(join(target, 'config/mine'), 'mine');
    await mkdir(join(target, 'config/.anemone-restore-20200101-000000'));
    const entries = await prepare(...members);
    const { switched } = await putIntoPlace({ staging, target, entries, stamp });
    expect(switched.map(({ path }) => path).sort()).toEqual(
      ['app', 'joined', 'link', 'sub'].map((name) => join(target, 'config', name)),
    );
    expect((await readdir(target, { recursive: true })).sort()).toEqual(
      ['', '/app', `/app.before-${stamp}`, '/joined', '/link', '/mine', '/sub', '/sub/file'].map(
        (name) => `config${name}`,
      ),
    );
    expect(await readFile(join(target, 'config/app'), 'utf8')).toBe('new');
    const app = await lstat(join(target, 'config/app'));
    expect([app.mode & 0o7777, app.mtimeMs, app.nlink]).toEqual([0o640, 1_700_000_000_000, 2]);
    const sub = await lstat(join(target, 'config/sub'));
    expect([sub.mode & 0o7777, sub.mtimeMs]).toEqual([0o500, 1_700_000_000_000]);
    execFileSync('rm', ['-rf', '/var/tmp/anemone-mounted']);
  });

  it('puts the children back when a later step fails', async () => {
    await mount('config', '-t', 'tmpfs', 'tmpfs');
    await writeFile(join(target, 'config/app'), 'old');
    const entries = await prepare(...members, { name: 'z', body: 'new' });
    execFileSync('rm', [join(staging, 'z')]);
    await expect(putIntoPlace({ staging, target, entries, stamp })).rejects.toThrow('everything was put back');
    expect((await readdir(target, { recursive: true })).sort()).toEqual(['config', 'config/app']);
    expect(await readFile(join(target, 'config/app'), 'utf8')).toBe('old');
  });

  it('puts the old back when the disk of the mount is full', async () => {
    await mount('config', '-t', 'tmpfs', '-o', 'size=64k', 'tmpfs');
    await writeFile(join(target, 'config/app'), 'old');
    const entries = await prepare(
      { name: 'config/', type: '5', mode: 0o755 },
      { name: 'config/app', body: Buffer.alloc(200_000, 'x') },
    );
    await expect(putIntoPlace({ staging, target, entries, stamp })).rejects.toMatchObject({
      kind: 'no-space',
      retryable: true,
    });
    expect((await readdir(target, { recursive: true })).sort()).toEqual(['config', 'config/app']);
  });

  it('is copied into a folder on another file system, also where the archive only implies that; links stay joined', async () => {
    await mount('etc', '-t', 'tmpfs', 'tmpfs');
    await writeFile(join(target, 'etc/b'), 'old');
    await writeFile(join(target, 'etc/mine'), 'mine');
    const entries = await prepare(
      { name: 'a', body: 'new' },
      { name: 'etc/b', body: 'new', mode: 0o640 },
      { name: 'etc/deep/c', type: '1', linkname: 'etc/b' },
    );
    const { switched, warnings } = await putIntoPlace({ staging, target, entries, stamp });
    expect([switched.map(({ path }) => relative(target, path)), warnings]).toEqual([['a', 'etc/b', 'etc/deep/c'], []]);
    expect((await readdir(target, { recursive: true })).sort()).toEqual(
      ['a', 'etc', 'etc/b', `etc/b.before-${stamp}`, 'etc/deep', 'etc/deep/c', 'etc/mine'].sort(),
    );
    const b = await lstat(join(target, 'etc/b'));
    expect([b.mode & 0o7777, b.nlink, b.ino]).toEqual([0o640, 2, (await lstat(join(target, 'etc/deep/c'))).ino]);
  });

  it('exchanges what is around a file system that is mounted in a root, and what the backup has in it', async () => {
    await mount('config/sub/volume', '-t', 'tmpfs', 'tmpfs');
    for (const folder of ['config', 'config/sub']) await chmod(join(target, folder), 0o711);
    await writeFile(join(target, 'config/app'), 'old');
    await writeFile(join(target, 'config/sub/volume/mine'), 'mine');
    const inside = [
      { name: 'config/sub/volume/', type: '5', mode: 0o755 },
      { name: 'config/sub/volume/inner', body: 'inner' },
    ];
    const entries = await prepare(...members, ...inside);
    const { switched } = await putIntoPlace({ staging, target, entries, stamp });
    expect(switched.map(({ path }) => relative(target, path)).sort()).toEqual(
      ['app', 'joined', 'link', 'sub/file', 'sub/volume/inner'].map((name) => `config/${name}`),
    );
    expect((await readdir(join(target, 'config/sub'), { recursive: true })).sort()).toEqual([
      'file',
      'volume',
      'volume/inner',
      'volume/mine',
    ]);
    expect(await readFile(join(target, `config/app.before-${stamp}`), 'utf8')).toBe('old');
    expect((await lstat(join(target, 'config/sub'))).mode & 0o777).toBe(0o711);
  });

  it('finds a file system that was mounted while a person was asked, before anything has changed', async () => {
    await mkdir(join(target, 'config/volume'), { recursive: true });
    const entries = await prepare({ name: 'a', body: 'new' }, ...members);
    const ground = await readGround(target, { data: [], selects: null });
    const units = await unitsOf(entries, ground);
    await mount('config/volume', '-t', 'tmpfs', 'tmpfs');
    const placing = intoPlace({ staging, stamp, ground, units }, new AbortController().signal);
    await expect(placing).rejects.toMatchObject({ kind: 'invalid', message: expect.stringContaining('config/volume') });
    expect(await readdir(target)).toEqual(['config']);
  });
});

describe('a restore over a folder of an image, which lies below an overlay', () => {
  const there = { 'config/app': 'old', 'config/mine': 'mine', 'config/sub/file': 'old', 'config/sub/mine': 'mine' };
  /** A target whose `config/` is in the lower layer. Nothing of that can be renamed but files. */
  async function overlay(skip: (why: string) => never): Promise<string> {
    await mount('disk', '-t', 'tmpfs', 'tmpfs');
    const [lower, upper, work] = ['lower', 'upper', 'work'].map((name) => join(target, 'disk', name));
    await mkdir(join(target, 'disk/lower/config/sub'), { recursive: true });
    for (const name of ['upper', 'work']) await mkdir(join(target, 'disk', name));
    for (const [name, content] of Object.entries(there)) await writeFile(join(target, 'disk/lower', name), content);
    const layers = `lowerdir=${lower},upperdir=${upper},workdir=${work},redirect_dir=off`;
    await mount('image', '-t', 'overlay', '-o', layers, 'overlay').catch(() => skip('no overlay can be mounted here'));
    return join(target, 'image');
  }
  async function filesIn(folder: string): Promise<Record<string, string>> {
    const items = await readdir(folder, { recursive: true, withFileTypes: true });
    const paths = items.filter((item) => item.isFile()).map((item) => join(item.parentPath, item.name));
    const contents = await Promise.all(paths.map((path) => readFile(path, 'utf8')));
    return Object.fromEntries(paths.map((path, index) => [relative(folder, path), contents[index] ?? '']));
  }

  it('exchanges what is in it, one by one, and says what else stays', async ({ skip }) => {
    const image = await overlay(skip);
    const machine = await makeBareMachine();
    await pushTo(machine.fr2, machine.fr1, await sealTree(machine.fr1, members));
    const { code, said } = await machine.restore({ target: image, takeover: false }, { json: true });
    expect([code, said.stderr]).toEqual([
      0,
      expect.stringMatching(/warning: not put aside, .*:\n {2}config\/mine\n {2}config\/sub\/mine\n/),
    ]);
    const { switched, dropped } = JSON.parse(said.stdout);
    const app = switched.find(({ path }: { path: string }) => path === join(image, 'config/app')).previous;
    const file = app.replace('/app.', '/sub/file.');
    expect(await filesIn(image)).toEqual({
      ...there,
      'config/app': 'new',
      'config/joined': 'new',
      'config/sub/file': 'deep',
      [relative(image, app)]: 'old',
      [relative(image, file)]: 'old',
    });
    expect([switched.length, dropped]).toEqual([4, []]);
  });

  it('puts it back when a later step fails', async ({ skip }) => {
    const image = await overlay(skip);
    const staging = stagingFolder(image, stamp);
    const { entries } = await unpack(stream(rawTar(...members, { name: 'z', body: 'new' })), staging);
    execFileSync('rm', [join(staging, 'z')]);
    const placing = putIntoPlace({ staging, target: image, entries, stamp });
    await expect(placing).rejects.toThrow('everything was put back');
    expect(await filesIn(image)).toEqual(there);
  });

  it('says what is in the way where the backup has a file instead, and puts all back', async ({ skip }) => {
    const image = await overlay(skip);
    const staging = stagingFolder(image, stamp);
    const { entries } = await unpack(
      stream(rawTar({ name: 'a', body: 'new' }, { name: 'config', body: 'new' })),
      staging,
    );
    const placing = putIntoPlace({ staging, target: image, entries, stamp });
    await expect(placing).rejects.toThrow(/config cannot be put into place \(.*no folder of that name.*put back/);
    expect(await filesIn(image)).toEqual(there);
  });
});

describe('a bare machine with a mount that is read-only', () => {
  let machine: BareMachine;
  beforeEach(async () => {
    machine = await makeBareMachine();
    const { fr1, fr2, us1 } = machine;
    const app = [
      { name: 'etc/app/', type: '5', mode: 0o755 },
      { name: 'etc/app/app.conf', body: 'app' },
    ];
    await pushTo(fr2, fr1, await sealTree(fr1, [...treeOf('new', fr2, us1), ...app]));
  });
  const mountReadOnly = async (name: string) => {
    await mount(join(relative(target, machine.folder), name), '-t', 'tmpfs', '-o', 'ro', 'tmpfs');
  };

  it.each(['etc/app', 'etc'])('at %s is the server again, in part, and shows how the rest comes back', async (name) => {
    await mountReadOnly(name);
    const { code, said } = await machine.restore({});
    expect(code).toBe(3);
    expect(await readFile(join(machine.folder, 'config/secret.key'), 'utf8')).toBe('secret new');
    expect(said.stderr).toContain('Taken by FR2, US1');
    expect(said.stderr).toMatch(
      /This was not restored:\n {2}etc\/app: .*etc\/app.* cannot be put into place: .*read-only/,
    );
    expect(said.stderr).toMatch(/ {2}anemone-peer restore anemone-.* --target DIR --include \/etc\/app\n/);
    const other = await machine.restore({ target: join(target, 'DIR'), include: ['/etc/app'], takeover: false });
    expect([other.code, await readFile(join(target, 'DIR/etc/app/app.conf'), 'utf8')]).toEqual([0, 'app']);
  });

  it('is told so by the drill, which goes by the folder of a real restore', async () => {
    await machine.restore({ takeover: false });
    await mountReadOnly('etc/app');
    await storeServerIdentity(machine.fr1.server, join(machine.folder, 'config-backups/.state'));
    const trial = commandTrial({ cwd: machine.folder, stdin: machine.fr1.recoveryKey, json: true });
    expect(await restore(trial.context, undefined, { drill: true, keyStdin: true, takeover: true })).toBe(0);
    expect(JSON.parse(trial.said.stdout).unplaceable).toEqual([
      { path: 'etc/app', reason: expect.stringContaining('read-only') },
    ]);
    expect(trial.said.stderr).toContain('This could not be restored here:');
  });

  it('lacks nothing where the same is there already', async () => {
    await mount(join(relative(target, machine.folder), 'etc/app'), '-t', 'tmpfs', '-o', 'mode=755', 'tmpfs');
    await writeFile(join(machine.folder, 'etc/app/app.conf'), 'app');
    await chmod(join(machine.folder, 'etc/app/app.conf'), 0o644);
    execFileSync('mount', ['-o', 'remount,ro', join(machine.folder, 'etc/app')]);
    const { code, said } = await machine.restore({});
    expect([code, said.stderr]).toEqual([0, expect.stringContaining('4 new, 0 changed, 1 untouched')]);
  });

  it('puts only what changes aside where config/ is a mount that can be written to', async () => {
    await mount(join(relative(target, machine.folder), 'config'), '-t', 'tmpfs', '-o', 'mode=755', 'tmpfs');
    await machine.restore({});
    await writeFile(join(machine.folder, 'config/secret.key'), 'secret of today');
    const there = await readdir(join(machine.folder, 'config'));
    const { code } = await machine.restore({});
    const added = (await readdir(join(machine.folder, 'config'))).filter((name) => !there.includes(name));
    expect([code, added]).toEqual([0, [expect.stringMatching(/^secret\.key\.before-/)]]);
  });

  it('fails, and changes nothing, where the configuration or all that was asked for cannot be put into place', async () => {
    await mountReadOnly('config');
    await mountReadOnly('etc/app');
    for (const options of [{}, { include: ['/etc/app'] }]) {
      await expect(machine.restore(options)).rejects.toMatchObject({
        kind: 'invalid',
        message: expect.stringContaining('read-only'),
      });
    }
    expect(await machine.left()).toEqual(['config', 'etc']);
  });
});

it('a bare machine with mounts around and in what the backup has is the server again, and stays it', async () => {
  const machine = await makeBareMachine();
  const { fr1, fr2, us1, folder } = machine;
  const app = [
    { name: 'etc/app/', type: '5', mode: 0o755 },
    { name: 'etc/app/app.conf', body: 'app' },
    { name: 'etc/app/volume/', type: '5', mode: 0o755 },
    { name: 'etc/app/volume/page', body: 'page' },
  ];
  await pushTo(fr2, fr1, await sealTree(fr1, [...treeOf('new', fr2, us1), ...app]));
  await mount(relative(target, join(folder, 'etc')), '-t', 'tmpfs', 'tmpfs');
  await mount(relative(target, join(folder, 'etc/app/volume')), '-t', 'tmpfs', 'tmpfs');
  await mount(relative(target, join(folder, 'config/cache')), '-t', 'tmpfs', 'tmpfs');
  const first = await machine.restore();
  expect([first.code, first.said.stderr]).toEqual([0, expect.stringContaining('5 new, 0 changed, 0 untouched')]);
  expect(await readFile(join(folder, 'etc/app/volume/page'), 'utf8')).toBe('page');
  await writeFile(join(folder, 'etc/app/volume/page'), 'of today');
  const { code, said } = await machine.restore();
  expect([code, said.stderr]).toEqual([0, expect.stringContaining('0 new, 1 changed, 4 untouched')]);
  const names = (await readdir(folder, { recursive: true })).filter((name) => /\.(before|anemone)-/.test(name));
  expect(names).toEqual([expect.stringMatching(/^etc\/app\/volume\/page\.before-/)]);
});

describe('a target that would lie on a read-only file system', () => {
  it('is refused for that reason', async () => {
    await mount('ro', '-t', 'tmpfs', '-o', 'ro', 'tmpfs');
    await expect(openTarget(join(target, 'ro/not/there'))).rejects.toThrow(/cannot be made: EROFS/);
  });
});

describe('a disk that is full before a restore ends', () => {
  it('is told with what was needed, what was there, and what to do; what was there before stays', async () => {
    const machine = await makeBareMachine();
    const body = garbage(8 * 2 ** 20);
    await pushTo(machine.fr2, machine.fr1, await sealTree(machine.fr1, [{ name: 'large', body }], { set: 'media' }));
    await mount('small', '-t', 'tmpfs', '-o', 'size=12m', 'tmpfs');
    const small = join(target, 'small');
    const call = { target: small, set: 'media', takeover: false };
    await expect(machine.restore(call)).rejects.toMatchObject({
      kind: 'failed',
      message: expect.stringMatching(/ENOSPC.*media.* needs about 16\.0 MiB in .*small, where 12\.0 MiB were free$/),
      hint: expect.stringContaining('--target'),
    });
    expect(await readdir(small)).toEqual([]);
  });
});

describe('a machine without /proc, such as a chroot of a rescue system', () => {
  it('is told to mount it before a peer is called or a key is asked for', () => {
    const hidden = 'mount -t tmpfs tmpfs /proc && exec "$0" "$@"';
    const call = ['restore', 'latest', '--server', 'FR1', '--peer', '127.0.0.1:1', '--yes', '--key-stdin'];
    const words = ['--mount', 'sh', '-c', hidden, process.execPath, clientProgram, ...call];
    const { status, stderr } = spawnSync('unshare', words, { cwd: target, input: '', encoding: 'utf8' });
    expect([status, stderr]).toEqual([1, expect.stringContaining('`mount -t proc proc /proc`')]);
    expect(stderr).toContain('nothing can be restored');
  });
});
