import { randomBytes } from 'node:crypto';
import { chmod, chown, lchown, mkdir, readdir, readFile, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { beforeEach, describe, expect, it } from 'vitest';
import { openTarget } from '../../../src/client/restore/place/target.js';
import type { Manifest } from '../../../src/mesh/generated/anemone/backup/v1/backup.js';
import { type BareMachine, makeBareMachine, pinned } from '../../support/bare-machine.js';
import { pushTo, sealBytes, sealTree } from '../../support/restorable.js';

let machine: BareMachine;
let folder: string;
beforeEach(async () => {
  machine = await makeBareMachine();
  folder = machine.folder;
});

const read = (path: string) => readFile(join(folder, path), 'utf8');
const put = async (path: string, content: string) => {
  await mkdir(join(folder, path, '..'), { recursive: true });
  await writeFile(join(folder, path), content);
};
const files = async () =>
  (await readdir(folder, { recursive: true, withFileTypes: true }))
    .filter((item) => !item.isDirectory())
    .map((item) => join(item.parentPath, item.name).slice(folder.length + 1))
    .sort();

describe('a restore of parts', () => {
  beforeEach(async () => {
    const tree = await sealTree(machine.fr1, [
      { name: 'config/', type: '5', mode: 0o755 },
      { name: 'config/config.yaml', body: 'config of the backup' },
      { name: 'config/ssh/', type: '5', mode: 0o700 },
      { name: 'config/ssh/id', body: 'id of the backup' },
      { name: 'config/ssh/log.tmp', body: 'tmp of the backup' },
      { name: 'config/link', type: '2', linkname: 'ssh/id' },
      { name: 'config/twin', type: '1', linkname: 'config/ssh/id' },
      { name: 'implied/deep/file', body: 'deep of the backup' },
    ]);
    await pushTo(machine.fr2, machine.fr1, tree);
  });
  const parts = (options: Parameters<BareMachine['restore']>[0]) =>
    machine.restore({ peer: [pinned(machine.fr2)], ...options });

  it('brings one file, and leaves everything around it', async () => {
    await put('config/config.yaml', 'mine');
    await put('config/ssh/id', 'mine');
    const { code, said } = await parts({ include: ['config/ssh/id'] });
    expect([code, await read('config/ssh/id'), await read('config/config.yaml')]).toEqual([
      0,
      'id of the backup',
      'mine',
    ]);
    expect(said.stderr).toMatch(/, 16 B, into .*: 0 new, 1 changed, 0 untouched/);
    expect(await files()).toEqual([
      'config/config.yaml',
      'config/ssh/id',
      expect.stringMatching(/^config\/ssh\/id\.before-/),
    ]);
  });

  it('touches nothing that is the same already', async () => {
    await put('config/ssh/id', 'id of the backup');
    await put('config/config.yaml', 'mine');
    await chmod(join(folder, 'config/ssh/id'), 0o644);
    const include = ['config/ssh/id', 'config/config.yaml'];
    const { said } = await parts({ include });
    expect(said.stderr).toContain('0 new, 1 changed, 1 untouched');
    const before = expect.stringMatching(/^config\/config\.yaml\.before-/);
    expect(await files()).toEqual(['config/config.yaml', before, 'config/ssh/id']);
  });

  it.skipIf(process.getuid?.() !== 0)(
    'exchanges what has another owner where owners are restored too, and only that',
    async () => {
      await put('config/ssh/id', 'id of the backup');
      await put('config/ssh/log.tmp', 'tmp of the backup');
      for (const name of ['id', 'log.tmp']) await chmod(join(folder, 'config/ssh', name), 0o644);
      await symlink('ssh/id', join(folder, 'config/link'));
      await lchown(join(folder, 'config/link'), 0, 1234);
      await chown(join(folder, 'config/ssh/log.tmp'), 1234, 0);
      const { said } = await parts({ include: ['config/ssh/*', 'config/link'], ownership: true });
      expect(said.stderr).toContain('0 new, 2 changed, 1 untouched');
      const [link, log] = ['config/link', 'config/ssh/log.tmp'].map((name) => `${name}.before-`);
      expect(await files()).toEqual([
        'config/link',
        expect.stringContaining(link ?? ''),
        'config/ssh/id',
        'config/ssh/log.tmp',
        expect.stringContaining(log ?? ''),
      ]);
      expect((await stat(join(folder, 'config/ssh/log.tmp'))).uid).toBe(0);
    },
  );

  it('exchanges a folder that was included as a whole, and tells first what is put aside with it', async () => {
    await put('config/ssh/id', 'mine');
    await put('config/ssh/extra', 'mine');
    const trial = parts({ include: ['config/ssh'], yes: false }).catch((thrown) => thrown);
    expect(await trial).toMatchObject({ kind: 'usage' });
    const { code, said } = await machine.restore(
      { peer: [pinned(machine.fr2)], include: ['config/ssh'], yes: false },
      { answers: [true] },
    );
    expect(code).toBe(0);
    expect(said.stderr).toMatch(/Not in the backup, and put aside.*\n {2}config\/ssh\/extra/);
    expect(await files()).toEqual([
      expect.stringMatching(/^config\/ssh\.before-.*\/extra$/),
      expect.stringMatching(/^config\/ssh\.before-.*\/id$/),
      'config/ssh/id',
      'config/ssh/log.tmp',
    ]);
  });

  it('makes the folders above with their own modes, where there is nothing', async () => {
    await parts({ include: ['config/ssh/id', 'implied'] });
    expect(await files()).toEqual(['config/ssh/id', 'implied/deep/file']);
    expect((await stat(join(folder, 'config/ssh'))).mode & 0o777).toBe(0o700);
  });

  it('leaves out what is excluded, and never takes away what is there of it', async () => {
    await put('config/ssh/log.tmp', 'mine');
    await put('config/ssh/other.tmp', 'mine');
    await put('config/ssh/id', 'mine');
    await parts({ exclude: ['*.tmp'] });
    expect(await read('config/ssh/log.tmp')).toBe('mine');
    expect(await read('config/ssh/other.tmp')).toBe('mine');
    expect(await read('config/ssh/id')).toBe('id of the backup');
    expect(await read('config/config.yaml')).toBe('config of the backup');
  });

  it('does not write through a link that is in the way of a part', async () => {
    await mkdir(join(folder, 'elsewhere'));
    await mkdir(join(folder, 'config'));
    await symlink('../elsewhere', join(folder, 'config/ssh'));
    await expect(parts({ include: ['config/ssh/id'] })).rejects.toMatchObject({ kind: 'invalid' });
    expect(await readdir(join(folder, 'elsewhere'))).toEqual([]);
  });

  it('does not make this machine the server', async () => {
    const { said } = await parts({ include: ['config/config.yaml'] });
    expect(said.stderr).not.toContain('node key');
    expect(await files()).toEqual(['config/config.yaml']);
  });

  it('ends partly where only --exclude kept it from that, and says what does it', async () => {
    const { code, said } = await machine.restore({ exclude: ['/config/secret.key'] });
    expect([code, said.stderr]).toEqual([3, expect.stringMatching(/not FR1 yet.* without --exclude/s)]);
    const living = await machine.restore({ exclude: ['/config/secret.key'], takeover: false });
    expect([living.code, living.said.stderr]).toEqual([0, expect.not.stringContaining('not FR1 yet')]);
  });

  it('needs both names of one file', async () => {
    await expect(parts({ include: ['config/twin'] })).rejects.toMatchObject({
      kind: 'usage',
      message: expect.stringContaining('the same file as "config/ssh/id"'),
    });
    await parts({ include: ['twin', 'id'] });
    expect(await read('config/twin')).toBe('id of the backup');
  });

  it.each([
    [{ include: ['config/nothing'] }, 'not-found'],
    [{ include: ['!config'] }, 'usage'],
  ])('%j is %s, and changes nothing', async (options, kind) => {
    await expect(parts(options)).rejects.toMatchObject({ kind });
    expect(await files()).toEqual([]);
  });
});

describe('a set that is no archive', () => {
  const set = 'db';
  const file = 'anemone-db-FR1-20261123-010000';
  async function hold(content: Buffer, facts: Partial<Manifest> = {}): Promise<void> {
    const { fr1, fr2 } = machine;
    await pushTo(fr2, fr1, await sealBytes(fr1, content, { set, ...facts }));
  }
  const bring = (options: Parameters<BareMachine['restore']>[0] = {}) =>
    machine.restore({ peer: [pinned(machine.fr2)], set, ...options });

  it.each([
    ['a dump', Buffer.from('PGDMP\u0001 rows')],
    ['compressed, and no tar', gzipSync('CREATE TABLE')],
    ['a short text', Buffer.from('x')],
    ['nothing at all', Buffer.alloc(0)],
    ['a disk image, which begins with zeros', Buffer.concat([Buffer.alloc(1024), randomBytes(3000)])],
    ['a compressed disk image', gzipSync(Buffer.concat([Buffer.alloc(100_000), randomBytes(100_000)]))],
    ['many zeros', Buffer.alloc(100_000)],
  ])('becomes one file, as it was: %s', async (_what, content) => {
    await hold(content);
    const { code, said } = await bring();
    expect(code).toBe(0);
    expect(await readFile(join(folder, file))).toEqual(content);
    expect((await stat(join(folder, file))).mode & 0o777).toBe(0o600);
    expect(said.stderr).toContain(`its content becomes one file, ${file}`);
    expect(await files()).toEqual([file]);
  });

  it('is only told of with --dry-run', async () => {
    await hold(Buffer.from('PGDMP'));
    const { said } = await bring({ dryRun: true });
    expect(said.stdout).toContain(`new        ${file}`);
    expect(await files()).toEqual([]);
  });

  it('never takes the place of a file of that name', async () => {
    await hold(Buffer.from('PGDMP'));
    await put(file, 'mine');
    await expect(bring()).rejects.toMatchObject({ kind: 'conflict' });
    expect([await read(file), await files()]).toEqual(['mine', [file]]);
  });

  it('that is larger than it may be is refused with the flag that allows more', async () => {
    await hold(Buffer.from('PGDMP'));
    await expect(bring({ maxSize: 3 })).rejects.toMatchObject({
      kind: 'invalid',
      hint: expect.stringContaining('--max-size'),
    });
    expect(await files()).toEqual([]);
  });

  it('has no parts', async () => {
    await hold(Buffer.from('PGDMP'));
    await expect(bring({ include: ['x'] })).rejects.toMatchObject({ kind: 'usage' });
  });

  it.each([
    ['as it is', Buffer.alloc(10_240)],
    ['compressed', gzipSync(Buffer.alloc(1024))],
  ])('that is an archive of nothing brings nothing: %s', async (_how, content) => {
    await hold(content);
    expect([(await bring()).code, await files()]).toEqual([0, []]);
  });

  it('that is an archive is unpacked, however well it was compressed', async () => {
    const { fr1, fr2 } = machine;
    await pushTo(fr2, fr1, await sealTree(fr1, [{ name: 'zeros', body: Buffer.alloc(3_000_000) }], { set }));
    await bring();
    expect(await files()).toEqual(['zeros']);
  });
});

describe('two restores into one target', () => {
  it('do not run at once: the second is told to wait, and the first is not disturbed', async () => {
    await pushTo(machine.fr2, machine.fr1, machine.newer);
    const first = await openTarget(folder);
    await chmod(folder, 0o755);
    try {
      await expect(machine.restore({ target: `${folder}/.` })).rejects.toMatchObject({ kind: 'locked' });
    } finally {
      await first.close();
    }
    expect((await machine.restore({ takeover: false })).code).toBe(0);
  });
});
