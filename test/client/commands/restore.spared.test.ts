import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
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
