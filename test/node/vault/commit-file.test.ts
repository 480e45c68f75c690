import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdir, readdir, readFile, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { leafSize } from '../../../src/mesh/manifest/digest-tree.js';
import { Failure } from '../../../src/mesh/terms/failure.js';
import type { Vault } from '../../../src/node/vault/vault.js';
import { type FaultyDisk, faultyDisk } from './faulty-disk.js';
import { backupOfFR2, FR2, push, pushInParts, readAll, send, type VaultFixture } from './fixture.js';
import { temporaryVault } from './temporary-vault.js';

const content = randomBytes(150_000);
const manifest = backupOfFR2(content);
const { name } = manifest.facts;
const arriving = manifest.digest.toString('hex');

let fixture: VaultFixture;
let watched: FaultyDisk;
let vault: Vault;
/** A path in the folder of FR2, and one among what arrives. */
let final: string;
let incoming: string;
beforeEach(async () => {
  fixture = await temporaryVault();
  watched = faultyDisk();
  vault = await fixture.open({ disk: watched.disk });
  await mkdir(join(fixture.data, 'FR2'), { recursive: true });
  final = join(fixture.data, 'FR2', name);
  incoming = join(fixture.data, '.incoming');
});
const modesIn = async (folder: string): Promise<number[]> => {
  const modes = (await readdir(folder)).map(async (file) => (await stat(join(folder, file))).mode & 0o777);
  return [...new Set(await Promise.all(modes))];
};

describe('the files of a backup', () => {
  it('are for the user of the node only, while it arrives and afterwards', async () => {
    await vault.offer(FR2, manifest);
    await send(vault, manifest, content, { offset: 0, length: leafSize });
    expect(await fixture.files('.incoming')).toHaveLength(3);
    expect(await modesIn(incoming)).toEqual([0o600]);
    await push(vault, manifest, content);
    expect(await fixture.files('FR2')).toEqual([name, `${name}.manifest`]);
    expect(await modesIn(join(fixture.data, 'FR2'))).toEqual([0o600]);
  });

  it('that are there already, with the same bytes, are synced before they are acknowledged', async () => {
    await writeFile(final, content);
    const start = watched.trace.length;
    await push(vault, manifest, content);
    const steps = watched.trace.slice(start);
    expect(steps).toContain(`handle.sync ${name}`);
    expect(steps.indexOf(`handle.sync ${name}`)).toBeLessThan(steps.indexOf('handle.sync FR2'));
    expect((await readAll(vault, manifest)).equals(content)).toBe(true);
  });
});

it('a longer file that begins with the bytes of a backup is a conflict, and stays', async () => {
  const longer = Buffer.concat([content, Buffer.of(1)]);
  await writeFile(final, longer);
  await expect(push(vault, manifest, content)).rejects.toMatchObject({ kind: 'conflict' });
  expect(vault.find(name)).toBeNull();
  expect((await readFile(final)).equals(longer)).toBe(true);
});

describe('a link in the place of a file', () => {
  let elsewhere: string;
  beforeEach(async () => {
    elsewhere = join(fixture.data, 'elsewhere');
    await writeFile(elsewhere, content);
  });

  it('of a backup is a conflict, also when it leads to the same bytes', async () => {
    await symlink(elsewhere, final);
    await expect(push(vault, manifest, content)).rejects.toMatchObject({ kind: 'conflict' });
    expect(vault.find(name)).toBeNull();
  });

  it.each(['part', 'leaves', 'offer'])('of what arrives (.%s) is not written through', async (ending) => {
    await writeFile(elsewhere, 'kept');
    await symlink(elsewhere, join(incoming, `${arriving}.${ending}`));
    await pushInParts(vault, manifest, content).catch(() => undefined);
    expect(await readFile(elsewhere, 'utf8')).toBe('kept');
  });
});

it('a pipe in the place of a backup holds nobody up', async () => {
  execFileSync('mkfifo', [final]);
  await expect(push(vault, manifest, content)).rejects.toBeInstanceOf(Failure);
  expect(vault.find(name)).toBeNull();
});
