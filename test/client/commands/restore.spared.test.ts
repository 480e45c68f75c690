import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { type BareMachine, makeBareMachine, treeOf } from '../../support/bare-machine.js';
import { pushTo, sealTree } from '../../support/restorable.js';
import type { RawMember } from '../restore/raw-tar.js';

let machine: BareMachine;
let folder: string;
beforeEach(async () => {
  machine = await makeBareMachine();
  folder = machine.folder;
});

/** The tree of FR1, whose configuration has the node keep its data there. */
function treeWith(data: string): readonly RawMember[] {
  return treeOf('new', machine.fr2, machine.us1).map((member) =>
    member.name === 'config/config.yaml'
      ? { ...member, body: member.body?.replace('{ name: FR1,', `{ name: FR1, data: ${data},`) ?? '' }
      : member,
  );
}
async function hold(members: readonly RawMember[]): Promise<void> {
  await pushTo(machine.fr2, machine.fr1, await sealTree(machine.fr1, members));
}
/** What FR1 keeps for a peer. */
const kept = 'FR2/anemone-backup-FR2-20261123-010000.enc';
async function keep(data: string): Promise<void> {
  await mkdir(join(folder, data, 'FR2'), { recursive: true });
  await writeFile(join(folder, data, kept), 'of FR2');
}
const read = (path: string) => readFile(join(folder, path), 'utf8');
const keyIn = (data: string) => read(`${data}/.state/node.key`);
const putAside = async () =>
  (await readdir(folder, { recursive: true })).filter((name) => /\.before-[0-9-]+$/.test(name)).sort();

describe('a server whose data lies in a folder that is backed up', () => {
  beforeEach(async () => {
    await hold(treeWith('./config/data'));
    expect((await machine.restore()).code).toBe(0);
    await keep('config/data');
  });

  it('is restored again by the same command: the data stays, and what is the same is not touched', async () => {
    const { code, said } = await machine.restore();
    expect([code, said.stderr]).toEqual([0, expect.stringContaining('0 new, 0 changed, 3 untouched')]);
    expect([await read(`config/data/${kept}`), await putAside()]).toEqual(['of FR2', []]);
  });

  it('is not told that it is none where a part of it is left out', async () => {
    const { code, said } = await machine.restore({ exclude: ['/config/secret.key'] });
    expect([code, said.stderr]).toEqual([0, expect.not.stringContaining('not FR1 yet')]);
  });

  it('has only what changes exchanged, and keeps what the backup does not have where it is', async () => {
    await writeFile(join(folder, 'config/secret.key'), 'secret of today');
    await writeFile(join(folder, 'config/mine'), 'mine');
    const { code, said } = await machine.restore({}, { json: true });
    expect([code, JSON.parse(said.stdout).dropped]).toEqual([0, []]);
    expect(await putAside()).toEqual([expect.stringMatching(/^config\/secret\.key\.before-/)]);
    expect([await read('config/secret.key'), await read('config/mine')]).toEqual(['secret new', 'mine']);
    expect(await read(`config/data/${kept}`)).toBe('of FR2');
  });
});

it('has what cannot be put into it named by what was asked for, and no more of the backup', async () => {
  await hold([
    ...treeWith('./config/data'),
    { name: 'config/data/', type: '5', mode: 0o755 },
    { name: 'config/data/x', body: 'x' },
    { name: 'top', body: 'top' },
  ]);
  await keep('config/data');
  await writeFile(
    join(folder, 'config/config.yaml'),
    'server: { name: FR1, listen: "127.0.0.1:7443", data: ./config/data }',
  );
  const { said } = await machine.restore({ include: ['/config/data', '/top'], takeover: false }, { json: true });
  expect(JSON.parse(said.stdout).unplaceable).toMatchObject([{ path: 'config/data' }]);
});

describe('a server whose data has moved into a folder that an older backup brings', () => {
  beforeEach(async () => {
    const pages: readonly RawMember[] = [
      { name: 'srv/', type: '5', mode: 0o755 },
      { name: 'srv/page', body: 'page' },
      { name: 'srv/blog/', type: '5', mode: 0o755 },
      { name: 'srv/blog/post', body: 'post' },
    ];
    await hold([...treeWith('./config-backups'), ...pages]);
    await pushTo(machine.fr2, machine.fr1, await sealTree(machine.fr1, pages, { set: 'pages' }));
    expect((await machine.restore()).code).toBe(0);
    await keep('config-backups');
  });
  const moveData = async (data: string) => {
    await mkdir(join(folder, data, '..'), { recursive: true });
    await rename(join(folder, 'config-backups'), join(folder, data));
    const config = await read('config/config.yaml');
    await writeFile(join(folder, 'config/config.yaml'), config.replace('./config-backups', `./${data}`));
  };

  it.each([
    ['config/data', [/^config\/config\.yaml\.before-/, /^srv\.before-/]],
    ['srv/anemone', [/^config\.before-/, /^srv\/page\.before-/]],
  ])('keeps it in %s, with its node key', async (data, before) => {
    await moveData(data);
    await writeFile(join(folder, 'srv/page'), 'of today');
    const key = await keyIn(data);
    expect((await machine.restore()).code).toBe(0);
    expect([await keyIn(data), await read(`${data}/${kept}`), await read('srv/page')]).toEqual([key, 'of FR2', 'page']);
    expect(await putAside()).toEqual(before.map((name) => expect.stringMatching(name)));
  });

  it('keeps it where a set without a configuration is restored', async () => {
    await moveData('srv/anemone');
    await writeFile(join(folder, 'srv/page'), 'of today');
    await machine.restore({ set: 'pages', takeover: false });
    expect([await read('srv/page'), await read(`srv/anemone/${kept}`)]).toEqual(['page', 'of FR2']);
  });

  it('keeps it where the configuration that tells so is broken', async () => {
    await moveData('srv/anemone');
    await writeFile(join(folder, 'srv/page'), 'of today');
    await writeFile(join(folder, 'config/config.yaml'), `${await read('config/config.yaml')}retntion: {}\n`);
    expect((await machine.restore()).code).toBe(0);
    expect([await read('srv/page'), await read(`srv/anemone/${kept}`)]).toEqual(['page', 'of FR2']);
  });

  it('keeps it where no configuration can be read that tells so, by its node key', async () => {
    await moveData('srv/anemone');
    await writeFile(join(folder, 'srv/page'), 'of today');
    await writeFile(join(folder, 'config/config.yaml'), 'server: {');
    expect((await machine.restore()).code).toBe(0);
    expect([await read('srv/page'), await read(`srv/anemone/${kept}`)]).toEqual(['page', 'of FR2']);
  });

  it('keeps it there also where the backup has that folder, and no configuration can be read that tells so', async () => {
    await rm(join(folder, 'srv/blog'), { recursive: true });
    await moveData('srv/blog');
    await writeFile(join(folder, 'config/config.yaml'), 'server: {');
    const key = await keyIn('srv/blog');
    await machine.restore({ takeover: false });
    expect([await keyIn('srv/blog'), await read(`srv/blog/${kept}`)]).toEqual([key, 'of FR2']);
  });

  it('keeps it below a link, which stays: what would take its place is left out, and named', async () => {
    await moveData('srv/anemone');
    await mkdir(join(folder, 'disk'));
    await rename(join(folder, 'srv'), join(folder, 'disk/srv'));
    await symlink('disk/srv', join(folder, 'srv'));
    const { code, said } = await machine.restore({}, { json: true });
    expect([code, JSON.parse(said.stdout).unplaceable]).toMatchObject([3, [{ path: 'srv' }]]);
    expect(await read(`srv/anemone/${kept}`)).toBe('of FR2');
  });

  it('has nothing put into it: that is left out, and named', async () => {
    await rm(join(folder, 'srv/blog'), { recursive: true });
    await moveData('srv/blog');
    const { code, said } = await machine.restore({}, { json: true });
    expect([code, JSON.parse(said.stdout).unplaceable]).toEqual([
      3,
      [{ path: 'srv/blog', reason: expect.stringContaining('it lies in the data of the node') }],
    ]);
    expect([await read(`srv/blog/${kept}`), existsSync(join(folder, 'srv/blog/post'))]).toEqual(['of FR2', false]);
  });
});

it('has what lies below a link left out, and named, where the backup only implies a folder', async () => {
  await hold([...treeWith('./config-backups'), { name: 'srv/page', body: 'page' }]);
  await symlink('/etc', join(folder, 'srv'));
  const { code, said } = await machine.restore({}, { json: true });
  expect([code, JSON.parse(said.stdout).unplaceable]).toEqual([
    3,
    [{ path: 'srv/page', reason: expect.stringContaining('is a symbolic link') }],
  ]);
  expect(await read('config/secret.key')).toBe('secret new');
});

describe('a target that lies in the data of the node', () => {
  it('takes a backup that is only looked at', async () => {
    await hold(treeWith('./data'));
    expect((await machine.restore()).code).toBe(0);
    const { code } = await machine.restore({ takeover: false, target: join(folder, 'data/look') });
    expect([code, await read('data/look/config/secret.key')]).toEqual([0, 'secret new']);
  });

  it.each(['"."', '".."'])('takes the server back whose configuration has the data in %s', async (data) => {
    await hold(treeWith(data));
    expect((await machine.restore({ target: join(folder, 'base') })).code).toBe(0);
    expect(await read('base/config/secret.key')).toBe('secret new');
  });
});
