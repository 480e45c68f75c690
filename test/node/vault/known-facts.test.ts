import { randomBytes } from 'node:crypto';
import { appendFile, copyFile, lstat, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { beforeEach, describe, expect, it } from 'vitest';
import { realDisk } from '../../../src/node/vault/disk.js';
import { readInventory } from '../../../src/node/vault/read-inventory.js';
import type { Vault } from '../../../src/node/vault/vault.js';
import { settle } from '../../support/fake-clock.js';
import { flipped } from '../../support/flip-bit.js';
import { faultyDisk } from './faulty-disk.js';
import { backupOfFR2, damage, FR1, FR2, identityOf, push, servers, type VaultFixture } from './fixture.js';
import { temporaryVault } from './temporary-vault.js';

const content = randomBytes(1000);
const [manifest, later] = [backupOfFR2(content, 0), backupOfFR2(content, 1)];
const { name } = manifest.facts;
const manifestFile = `${name}.manifest`;

let fixture: VaultFixture;
let vault: Vault;
let folder: string;
let facts: string;

beforeEach(async () => {
  fixture = await temporaryVault();
  folder = join(fixture.data, 'FR2');
  // Folders have the time of the machine: by this clock, all of them have been left alone for long.
  fixture.clock.jump(Date.UTC(2100, 0, 1) - fixture.clock.now());
  vault = await fixture.open();
  facts = vault.layout.factsOf(FR2);
  await push(vault, manifest, content);
});
/** Opens the vault again, and says which sidecars were read for it. */
async function reopen(changes: Parameters<VaultFixture['open']>[0] = {}): Promise<{ opened: Vault; read: string[] }> {
  const { disk, trace } = faultyDisk();
  const opened = await fixture.open({ disk, ...changes });
  return { opened, read: trace.flatMap((call) => (call.startsWith('openSync ') ? [call.slice(9)] : [])) };
}

describe('a start after a stop', () => {
  beforeEach(async () => {
    await vault.close();
    await nextTime();
  });

  it('opens no sidecar, and holds the same', async () => {
    const { opened, read } = await reopen();
    expect(read).toEqual([]);
    expect(opened.list()).toEqual(vault.list());
    expect(opened.used(FR2)).toBe(vault.used(FR2));
    expect((await opened.held(name)).manifest).toEqual(manifest.signed);
  });

  it.each<[string, () => Promise<unknown>]>([
    ['a backup came in', async () => push(await fixture.open(), later, content)],
    ['a backup was removed', () => vault.remove(name)],
    ['a backup was put into quarantine', async () => damage(await fixture.open(), name)],
    ['a file was taken away', () => rm(join(folder, name))],
    ['a file was put there', () => writeFile(join(folder, 'notes.txt'), 'x')],
    ['a file was put in the place of another', () => replace(join(folder, name))],
    ['the folder was put in the place of another', () => replace(folder)],
  ])('reads the folder when %s since', async (_, change) => {
    await change();
    const look = () => readInventory({ layout: vault.layout, host: FR1, disk: realDisk, identityOf });
    const known = await look();
    await rm(facts);
    const read = await look();
    expect(known.list({})).toEqual(read.list({}));
    expect(known.findings.lines()).toEqual(read.findings.lines());
    expect(known.findings.damaged(FR2)).toEqual(read.findings.damaged(FR2));
  });

  it('misses a backup whose manifest was taken away since', async () => {
    await rm(join(folder, manifestFile));
    for (let start = 0; start < 2; start += 1) {
      vault = await fixture.open();
      expect(vault.find(name)).toBeNull();
      expect(vault.damaged(FR2)).toEqual([name]);
      expect(vault.findings()).toEqual([expect.stringContaining('was put into quarantine')]);
    }
    await push(vault, manifest, content);
    expect(vault.damaged(FR2)).toEqual([]);
    expect((await fixture.open()).find(name)).toEqual(vault.find(name));
  });

  it('leaves a damaged manifest to whoever asks for the backup, and to the night', async () => {
    for (const find of [(opened: Vault) => opened.held(name).catch(() => {}), (opened: Vault) => opened.prove()]) {
      const bytes = await readFile(join(folder, manifestFile));
      await writeFile(join(folder, manifestFile), bytes.fill(0, 0, 10));
      const { opened, read } = await reopen();
      expect(read).toEqual([]);
      await find(opened);
      expect(opened.find(name)).toBeNull();
      expect(opened.damaged(FR2)).toEqual([name]);
      await push(opened, manifest, content);
      await opened.close();
      await nextTime();
      fixture.clock.jump(1000);
    }
  });

  it('leaves a file of another size to whoever asks for the backup, and to the night', async () => {
    await appendFile(join(folder, name), 'x');
    const { opened, read } = await reopen();
    expect(read).toEqual([]);
    await opened.prove();
    expect(opened.find(name)).toBeNull();
    expect(opened.damaged(FR2)).toEqual([name]);
  });

  it('believes nothing that was read under another identity', async () => {
    const { opened } = await reopen({ identityOf: () => servers.US1.identity });
    expect(opened.find(name)).toBeNull();
    expect(opened.damaged(FR2)).toEqual([]);
  });

  it('knows backups of who is no peer any more, and reads them when it is one again', async () => {
    const stranger = { identityOf: () => null };
    const { opened, read } = await reopen(stranger);
    expect(read).toEqual([]);
    expect(opened.find(name)).toMatchObject({ identity: null });
    await push(await fixture.open(), later, content);
    await (await fixture.open(stranger)).close();
    expect((await reopen(stranger)).read).toEqual([]);
    expect((await reopen()).read).toHaveLength(2);
  });
});

describe('what a folder holds', () => {
  it('is written down a minute after it changed, or was read', async () => {
    await fixture.clock.advance(60_000);
    await written();
    expect((await reopen()).read).toEqual([]);
    await rm(facts);
    const opened = await fixture.open();
    await fixture.clock.advance(60_000);
    await written();
    expect((await reopen()).opened.list()).toEqual(opened.list());
  });

  it('is not written down so soon that its next change could leave it with the same time', async () => {
    fixture.clock.jump(Date.parse('2000-01-01') - fixture.clock.now());
    await vault.close();
    expect((await reopen()).read).toEqual([manifestFile]);
  });

  it('is not written down while a backup is on its way in', async () => {
    await rm(facts, { force: true });
    const faulty = faultyDisk();
    const opened = await fixture.open({ disk: faulty.disk });
    const syncing = faulty.hold(/^handle.sync FR2$/);
    const pushed = push(opened, later, content);
    await syncing.reached;
    const looks = () => faulty.trace.filter((call) => call === 'readdir FR2').length;
    const before = looks();
    await fixture.clock.advance(60_000);
    while (looks() === before) await setImmediate();
    await settle();
    syncing.letGo();
    await pushed;
    expect((await reopen()).opened.list()).toHaveLength(2);
  });

  it('is written down again after a start that put a damaged backup aside', async () => {
    await push(vault, later, content);
    await rm(join(folder, name));
    await (await fixture.open()).close();
    const { opened, read } = await reopen();
    expect(read).toEqual([]);
    expect(opened.list()).toHaveLength(1);
    expect(opened.damaged(FR2)).toEqual([name]);
  });

  it('is not written down where something else lies between', async () => {
    await writeFile(join(folder, 'notes.txt'), 'x');
    await vault.close();
    const { opened, read } = await reopen();
    expect(read).toEqual([manifestFile]);
    expect(opened.findings()).toHaveLength(1);
  });
});

describe('the file of facts', () => {
  beforeEach(() => vault.close());

  it.each<[string, (bytes: Buffer) => Uint8Array]>([
    ['is cut off', (bytes) => bytes.subarray(0, -1)],
    ['is empty', () => Buffer.alloc(0)],
    ['has a flipped bit', (bytes) => flipped(bytes, -20)],
    ['is of another version', (bytes) => Buffer.from(bytes.toString().replace('facts-1', 'facts-2'))],
    ['is something else', () => randomBytes(5000)],
  ])('counts for nothing when it %s, and is written again', async (_, change) => {
    await writeFile(facts, change(await readFile(facts)));
    const { opened, read } = await reopen();
    expect(read).toEqual([manifestFile]);
    expect(opened.list()).toEqual(vault.list());
    await opened.close();
    expect((await reopen()).read).toEqual([]);
  });

  it('stops neither a start nor a stop when it can be neither read nor written', async () => {
    await rm(facts);
    await mkdir(facts);
    const { opened, read } = await reopen();
    expect(read).toEqual([manifestFile]);
    await opened.close();
    expect(opened.list()).toEqual(vault.list());
  });
});

/** The same under the same name, as after a copy. */
async function replace(path: string): Promise<void> {
  await rename(path, `${path}.away`);
  if (path === folder) {
    await mkdir(path);
    for (const file of [name, manifestFile]) await copyFile(join(`${path}.away`, file), join(path, file));
  } else await copyFile(`${path}.away`, path);
  await rm(`${path}.away`, { recursive: true });
}

/** Once what happens now has a later time than the last change of the folder: the clock of a file system is coarse. */
async function nextTime(): Promise<void> {
  const { ctimeNs: last } = await lstat(folder, { bigint: true });
  const probe = join(fixture.data, '.state', 'probe');
  for (let now = last; now <= last; now = (await lstat(probe, { bigint: true })).ctimeNs) await writeFile(probe, '');
}

/** Once the file of facts is there; the writing goes on after the clock has stopped. */
async function written(): Promise<void> {
  await expect
    .poll(() =>
      readFile(facts).then(
        ({ length }) => length,
        () => 0,
      ),
    )
    .toBeGreaterThan(0);
}
