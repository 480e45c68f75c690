import { randomBytes } from 'node:crypto';
import { mkdir, rm, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { listBackups } from '../../../src/node/service/list-backups.js';
import type { Vault } from '../../../src/node/vault/vault.js';
import { keepDays } from '../../support/peer-node.js';
import { type Fault, type FaultyDisk, faultyDisk } from '../vault/faulty-disk.js';
import { backupOfFR2, FR2, push, type VaultFixture } from '../vault/fixture.js';
import { temporaryVault } from '../vault/temporary-vault.js';

const contents = Array.from({ length: 5 }, () => randomBytes(1000));
const manifests = contents.map((content, nth) => backupOfFR2(content, nth));
const { name } = (manifests[2] as (typeof manifests)[number]).facts;

let fixture: VaultFixture;
let faulty: FaultyDisk;
let vault: Vault;
let sidecar: string;

beforeEach(async () => {
  fixture = await temporaryVault();
  faulty = faultyDisk();
  vault = await fixture.open({ disk: faulty.disk });
  for (const [nth, manifest] of manifests.entries()) await push(vault, manifest, contents[nth] ?? Buffer.alloc(0));
  sidecar = join(fixture.data, 'FR2', `${name}.manifest`);
});
/** Lists in both ways. @returns how many backups were shown in each */
async function countShown(): Promise<{ brief: number; whole: number }> {
  const shown = { brief: 0, whole: 0 };
  for (const brief of [true, false]) {
    const question = { owner: FR2, set: '', brief, manifestDigests: [] };
    for await (const page of listBackups(vault, question, () => true, keepDays(0, 7))) {
      shown.brief += page.receivedAtMs.length;
      shown.whole += page.backups.length;
    }
  }
  return shown;
}

function failToRead(fault: Fault): void {
  faulty.fail(fault, (call) => faulty.trace[call] === `handle.read ${name}.manifest`);
}

describe('a list', () => {
  it.each<[string, () => Promise<void> | void]>([
    ['has bad sectors', () => failToRead('EIO')],
    ['is not for the user of the node', () => failToRead('EACCES')],
    ['is a folder', () => rm(sidecar).then(() => mkdir(sidecar))],
    ['is a link', () => rm(sidecar).then(() => symlink('/etc/passwd', sidecar))],
  ])('leaves out the backup whose manifest %s, shows the others, and tells a person', async (_, spoil) => {
    expect(await countShown()).toEqual({ brief: 5, whole: 5 });
    await vault.close();
    vault = await fixture.open({ disk: faulty.disk });
    await spoil();
    expect(await countShown()).toEqual({ brief: 4, whole: 4 });
    expect(vault.findings()).toEqual([expect.stringMatching(`${name}.manifest: cannot be read: E`)]);
    // A disk may stumble: what it did not read just now is not lost yet.
    expect(vault.find(name)).not.toBeNull();
    expect(vault.isDoubted(name)).toBe(true);
  });

  it('shows a backup again as soon as its manifest can be read', async () => {
    failToRead('EACCES');
    expect(await countShown()).toEqual({ brief: 4, whole: 4 });
    faulty.fail('EACCES', () => false);
    expect(await countShown()).toEqual({ brief: 5, whole: 5 });
    expect(vault.findings()).toEqual([]);
    expect(vault.isDoubted(name)).toBe(false);
  });

  it('shows the others where a damaged backup cannot be put into quarantine', async () => {
    await rm(sidecar);
    faulty.fail('EIO', (call) => faulty.calls[call] === 'link');
    expect(await countShown()).toEqual({ brief: 4, whole: 4 });
    expect(vault.damaged(FR2)).toEqual([name]);
  });

  it('fails where the node has too many files open: what it leaves out would look like lost', async () => {
    failToRead('EMFILE');
    await expect(countShown()).rejects.toMatchObject({ kind: 'failed', retryable: true });
  });
});
