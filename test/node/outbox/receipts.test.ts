import { createHash } from 'node:crypto';
import { chmod, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { SignedReceipt } from '../../../src/mesh/generated/anemone/backup/v1/backup.js';
import { deriveKeys, generateRecoveryKey } from '../../../src/mesh/identity/recovery-key.js';
import { makeServerIdentity } from '../../../src/mesh/identity/server-identity.js';
import { signReceipt } from '../../../src/mesh/manifest/receipt.js';
import { formatBackupName } from '../../../src/mesh/terms/backup-name.js';
import { parseHostname } from '../../../src/mesh/terms/hostname.js';
import type { Log } from '../../../src/mesh/terms/log.js';
import type { OwnBackup } from '../../../src/node/outbox/owed.js';
import { type Holder, openReceipts } from '../../../src/node/outbox/receipts.js';
import { silent } from '../../support/events.js';
import { flipBit } from '../../support/flip-bit.js';
import { throwawayServer } from '../../support/identities.js';
import { temporaryFolder } from '../../support/temporary-folder.js';

const fr2 = throwawayServer('FR2');
const peer: Holder = { name: parseHostname('FR2'), identity: fr2.identity };
const backupOf = (content: string, day: number): OwnBackup => {
  const createdAt = Date.UTC(2026, 10, day, 1);
  const name = formatBackupName({ owner: parseHostname('FR1'), set: 'backup', time: createdAt });
  const digest = createHash('sha256').update(content).digest();
  return { name, set: 'backup', sequence: day, createdAt, size: content.length, digest };
};
const backup = backupOf('one', 23);
const other = backupOf('two', 24);
const receiptFor = (of: OwnBackup, by = fr2) =>
  signReceipt({ manifestDigest: of.digest, receivedAt: 1_795_000_000_000 }, by.signer);

let folder: string;
let warnings: string[];
let reasons: unknown[];
beforeEach(async () => {
  folder = await temporaryFolder();
  warnings = [];
  reasons = [];
});

const open = () => {
  const log: Log = {
    debug() {},
    info() {},
    error() {},
    warn(event, fields) {
      warnings.push(`${event} ${fields?.['backup']}`);
      reasons.push(fields?.['reason']);
    },
  };
  return openReceipts(folder, log, () => false);
};
const file = () => join(folder, 'FR2', `${backup.name}.receipt`);

describe('the receipts', () => {
  it('are kept for the next process, one file a backup', async () => {
    await open().keep(peer, backup, receiptFor(backup));
    expect(await open().held(peer, [backup, other])).toEqual(new Set([backup.name]));
    expect(await open().read(peer, backup)).toEqual(receiptFor(backup));
    expect(await readdir(join(folder, 'FR2'))).toEqual([`${backup.name}.receipt`]);
    expect(warnings).toEqual([]);
  });

  it('are none at first', async () => {
    expect(await open().held(peer, [backup])).toEqual(new Set());
    await open().prune(new Set());
  });

  it('of another server, or for another backup, are refused', async () => {
    const stranger = throwawayServer('US1');
    await expect(open().keep(peer, backup, receiptFor(backup, stranger))).rejects.toMatchObject({ kind: 'untrusted' });
    await expect(open().keep(peer, backup, receiptFor(other))).rejects.toMatchObject({ kind: 'untrusted' });
    expect(await readdir(folder)).toEqual([]);
  });

  it('by a former identity of a peer do not count', async () => {
    const receipts = open();
    await receipts.keep(peer, backup, receiptFor(backup));
    const rebuilt = { ...peer, identity: throwawayServer('FR2').identity };
    expect(await receipts.held(rebuilt, [backup])).toEqual(new Set());
  });

  it('of a node key that a newer one supersedes do not count, until the rebuilt server gives them anew', async () => {
    const keys = deriveKeys(generateRecoveryKey());
    const [lost, rebuilt] = [1000, 2000].map((epoch) => makeServerIdentity(keys, 'FR2', epoch));
    if (lost === undefined || rebuilt === undefined) throw new Error('there are two');
    const holder: Holder = { ...peer, identity: keys.identity };
    for (const each of [backup, other]) await open().keep(holder, each, receiptFor(each, lost));
    expect(await open().held(holder, [backup, other])).toEqual(new Set([backup.name, other.name]));
    const receipts = openReceipts(folder, silent, ({ epoch }) => epoch < 2000);
    expect(await receipts.held(holder, [backup, other])).toEqual(new Set());
    expect(await receipts.read(holder, backup)).toBeUndefined();
    await receipts.keep(holder, backup, receiptFor(backup, rebuilt));
    expect(await receipts.held(holder, [backup, other])).toEqual(new Set([backup.name]));
  });

  it('of a backup that was made again under the same name do not count', async () => {
    const receipts = open();
    await receipts.keep(peer, backup, receiptFor(backup));
    expect(await receipts.held(peer, [backupOf('three', 23)])).toEqual(new Set());
  });

  it('that are damaged count as none, are reported once, and are replaced', async () => {
    const receipts = open();
    await receipts.keep(peer, backup, receiptFor(backup));
    const good = await readFile(file());
    for (const damaged of [good.subarray(0, -1), Buffer.alloc(0), Buffer.from('not a receipt')]) {
      await writeFile(file(), damaged);
      expect(await receipts.held(peer, [backup])).toEqual(new Set());
    }
    await writeFile(file(), good);
    await flipBit(file(), 20);
    expect(await open().held(peer, [backup])).toEqual(new Set());

    warnings = [];
    const reader = open();
    await reader.held(peer, [backup]);
    await reader.held(peer, [backup]);
    expect(warnings).toEqual([`receipt not believed ${backup.name}`]);
    await reader.keep(peer, backup, receiptFor(backup));
    expect(await reader.held(peer, [backup])).toEqual(new Set([backup.name]));
  });

  it('that cannot be read count as none, like damaged ones, and are reported with their path: the others are read', async () => {
    await mkdir(file(), { recursive: true });
    const receipts = open();
    await receipts.keep(peer, other, receiptFor(other));
    expect(await receipts.held(peer, [backup, other])).toEqual(new Set([other.name]));
    expect(await receipts.read(peer, backup)).toBeUndefined();
    expect(warnings).toEqual([`receipt not believed ${backup.name}`]);
    expect(reasons[0]).toContain(file());
    await receipts.prune(new Set());
    expect(await readdir(join(folder, 'FR2'))).toEqual([`${backup.name}.receipt`]);
  });

  it.skipIf(process.geteuid?.() === 0)('that nobody may read count as none, and are replaced', async () => {
    const receipts = open();
    await receipts.keep(peer, backup, receiptFor(backup));
    await chmod(file(), 0o000);
    expect(await receipts.held(peer, [backup])).toEqual(new Set());
    await receipts.keep(peer, backup, receiptFor(backup));
    expect(await receipts.held(peer, [backup])).toEqual(new Set([backup.name]));
  });

  it('whose signature is not of the peer count as none, whoever wrote them to this disk', async () => {
    const receipts = open();
    await receipts.keep(peer, backup, receiptFor(backup));
    const { receipt, certificate } = receiptFor(backup);
    const signature = throwawayServer('FR2').signer.sign('receipt', receipt);
    await writeFile(file(), SignedReceipt.encode({ receipt, signature, certificate }).finish());
    expect(await open().held(peer, [backup])).toEqual(new Set());
    expect(warnings).toEqual([`receipt not believed ${backup.name}`]);
  });

  it('of backups that no longer exist are pruned, and nothing else', async () => {
    const receipts = open();
    await receipts.keep(peer, backup, receiptFor(backup));
    await receipts.keep(peer, other, receiptFor(other));
    await writeFile(join(folder, 'FR2', 'note.txt'), 'mine');
    await receipts.prune(new Set([other.name]));
    expect((await readdir(join(folder, 'FR2'))).sort()).toEqual([`${other.name}.receipt`, 'note.txt']);
  });
});
