import { lstat, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { identityToRecipient } from 'age-encryption';
import { beforeEach, describe, expect, it } from 'vitest';
import { type BareMachine, makeBareMachine, treeOf } from '../../support/bare-machine.js';
import { pushTo, sealTree } from '../../support/restorable.js';

let machine: BareMachine;
beforeEach(async () => {
  if (process.getuid?.() !== 0) throw new Error('this test restores owners: run it as root');
  machine = await makeBareMachine();
});

const postgres = [
  { name: 'pg/', type: '5', mode: 0o750, uid: 113 },
  { name: 'pg/base', body: 'rows', mode: 0o640, uid: 113 },
  { name: 'pg/twin', type: '1', linkname: 'pg/base', uid: 113 },
  { name: 'pg/README', body: 'of root' },
];

/** Makes FR2 hold one backup. @returns its name */
async function hold(...[tree, facts]: [Parameters<typeof sealTree>[1], Parameters<typeof sealTree>[2]?]) {
  const { fr1, fr2 } = machine;
  const held = await sealTree(fr1, tree, facts);
  await pushTo(fr2, fr1, held);
  return held.manifest.facts.name;
}

const ownerOf = async (name: string) => (await lstat(join(machine.folder, name))).uid;
const commandIn = (stderr: string) => /^ *anemone-peer restore .*$/m.exec(stderr)?.[0].trim();

describe('a restore by root', () => {
  it('says what belongs to root now and did not, and the command that brings its owners back', async () => {
    const name = await hold(postgres, { set: 'pg' });
    const { code, said } = await machine.restore({ set: 'pg' });
    expect([code, await ownerOf('pg/base')]).toEqual([0, 0]);
    expect(said.stderr).toContain('warning: 2 of what was restored belonged to others, such as pg to 113:0,');
    expect(commandIn(said.stderr)).toMatch(
      new RegExp(`restore ${name} --server FR1 --peer .* --no-takeover --ownership --target ${machine.folder}$`),
    );
  });

  it('brings owners back with --ownership, and has nothing to say about them', async () => {
    await hold(postgres, { set: 'pg' });
    const { said } = await machine.restore({ set: 'pg', ownership: true });
    expect([await ownerOf('pg'), await ownerOf('pg/base'), await ownerOf('pg/README')]).toEqual([113, 113, 0]);
    expect(said.stderr).not.toContain('belonged');
  });

  it('has nothing to say about owners where all was of root', async () => {
    await hold(treeOf('new', machine.fr2));
    expect((await machine.restore()).said.stderr).not.toContain('belonged');
  });

  it('counts what it put into place only, and names the same parts in the command', async () => {
    await hold(postgres, { set: 'pg' });
    await mkdir(join(machine.folder, 'pg'));
    const { said } = await machine.restore({ set: 'pg', include: ['/pg/base', 'twin'], exclude: ['*.tmp file'] });
    expect(said.stderr).toContain('1 of what was restored belonged to others, such as pg/base to 113:0,');
    expect(commandIn(said.stderr)).toMatch(/ --include \/pg\/base --include twin --exclude '\*\.tmp file'$/);
    const again = await machine.restore({ set: 'pg', include: ['/pg/base', 'twin'] });
    expect(again.said.stderr).not.toContain('belonged');
  });

  it('does not have a server that came back take its place a second time', async () => {
    const name = await hold(treeOf('new', machine.fr2).map((member) => ({ ...member, uid: 1000 })));
    const { code, said } = await machine.restore();
    expect([code, said.stderr]).toEqual([0, expect.stringContaining('4 of what was restored belonged to others')]);
    expect(commandIn(said.stderr)).toBe(
      `anemone-peer restore ${name} --config ${machine.folder}/config/config.yaml --no-takeover --ownership --target ${machine.folder}`,
    );
  });

  it('leaves to the second command what the configuration has elsewhere', async () => {
    const recipient = await identityToRecipient(machine.fr1.keys.ageIdentity);
    const paths = `backup: { sets: { backup: { paths: [./config, /etc/pg] } }, encryption: { recipients: [${recipient}] } }\n`;
    const tree = treeOf('new', machine.fr2).map((member) =>
      member.name === 'config/config.yaml' ? { ...member, body: `${member.body}${paths}` } : member,
    );
    await hold([...tree, { name: 'etc/pg/', type: '5', mode: 0o700, uid: 113 }]);
    const { said } = await machine.restore();
    expect(said.stderr).not.toContain('belonged');
    expect(commandIn(said.stderr)).toContain('--ownership --target / --include /etc/pg');
  });
});
