import { mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, expect, it } from 'vitest';
import { type BareMachine, makeBareMachine, treeOf } from '../../support/bare-machine.js';
import { pushTo, sealTree } from '../../support/restorable.js';
import { temporaryFolder } from '../../support/temporary-folder.js';

type Member = ReturnType<typeof treeOf>[number];

let machine: BareMachine;
beforeEach(async () => {
  machine = await makeBareMachine();
});

/** Pushes a backup whose configuration is called so, and that has these members too. */
async function push(config: string, ...others: readonly Member[]): Promise<void> {
  const { fr1, fr2, us1 } = machine;
  const tree = treeOf('new', fr2, us1).map((member) =>
    member.name === 'config/config.yaml' ? { ...member, name: config } : member,
  );
  await pushTo(fr2, fr1, await sealTree(fr1, [...tree, ...others]));
}

/** Makes `config/` of the machine a link to a folder elsewhere. */
async function linkConfig(): Promise<string> {
  const elsewhere = await temporaryFolder();
  await symlink(elsewhere, join(machine.folder, 'config'));
  return elsewhere;
}

it('makes the server by a configuration that is named below a folder which is a link until then', async () => {
  await push('config/fr1.yaml');
  await linkConfig();
  const { code } = await machine.restore({}, { config: join(machine.folder, 'config/fr1.yaml') });
  expect(code).toBe(0);
});

it('makes the server by the configuration that stays, where a link to another goes', async () => {
  await push('config.yaml');
  await writeFile(join(await linkConfig(), 'config.yaml'), 'server: { name: FR1, listen: "127.0.0.1:7443" }\n');
  expect((await machine.restore()).code).toBe(0);
});

it.each([
  ['symbolic', { type: '2', linkname: 'fr1.yaml' }],
  ['hard', { type: '1', linkname: 'config/fr1.yaml' }],
])('makes the server by a configuration that is a %s link in the archive', async (_, link) => {
  await push('config/fr1.yaml', { name: 'config/config.yaml', ...link });
  expect((await machine.restore()).code).toBe(0);
});

it('takes no other program’s config.yaml for one that says where the data of a node is', async () => {
  const { folder } = machine;
  const www = { name: 'www/', type: '5', mode: 0o755 };
  const other = { name: 'config.yaml', mode: 0o644, body: 'server: { data: ./www }\n' };
  await push('config/config.yaml', other, www, { name: 'www/index.html', mode: 0o644, body: 'new' });
  await mkdir(join(folder, 'www'));
  await writeFile(join(folder, 'www/index.html'), 'old');
  expect((await machine.restore()).code).toBe(0);
  expect(await readFile(join(folder, 'www/index.html'), 'utf8')).toBe('new');
});
