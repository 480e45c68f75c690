import { randomBytes } from 'node:crypto';
import { mkdir, readFile, rm, symlink, truncate, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { setImmediate } from 'node:timers/promises';
import { beforeEach, describe, expect, it } from 'vitest';
import { HeldBackup, Receipt } from '../../../src/mesh/generated/anemone/backup/v1/backup.js';
import { deriveKeys, generateRecoveryKey } from '../../../src/mesh/identity/recovery-key.js';
import { makeServerIdentity } from '../../../src/mesh/identity/server-identity.js';
import { leafHash, leafSize } from '../../../src/mesh/manifest/digest-tree.js';
import { signReceipt, verifyReceipt } from '../../../src/mesh/manifest/receipt.js';
import { type Disk, realDisk } from '../../../src/node/vault/disk.js';
import type { Vault } from '../../../src/node/vault/vault.js';
import { silent, watchEvents } from '../../support/events.js';
import { settle } from '../../support/fake-clock.js';
import { flipBit } from '../../support/flip-bit.js';
import { throwawayServer } from '../../support/identities.js';
import { manifestOf } from '../../support/manifests.js';
import { type Fault, faultyDisk } from './faulty-disk.js';
import {
  backupOfFR2,
  damage,
  FR1,
  FR2,
  identityOf,
  push,
  pushInParts,
  readAll,
  servers,
  type VaultFixture,
} from './fixture.js';
import { temporaryVault } from './temporary-vault.js';

const content = Buffer.from(Array.from({ length: 3 * leafSize + 100 }, (_, index) => (index * 7 + (index >> 9)) & 255));
const manifest = backupOfFR2(content);
const { name } = manifest.facts;
const hashes = Buffer.concat(
  Array.from({ length: 4 }, (_, leaf) => leafHash(content.subarray(leaf * leafSize, (leaf + 1) * leafSize))),
);

let fixture: VaultFixture;
let vault: Vault;
beforeEach(async () => {
  fixture = await temporaryVault();
  vault = await fixture.open();
});
const dataFile = () => join(fixture.data, 'FR2', name);
const leavesFile = () => join(fixture.data, '.state/leaves', manifest.digest.toString('hex'));

describe('the leaves of a backup', () => {
  it('are kept as they came in, and go with it', async () => {
    await pushInParts(vault, manifest, content);
    expect(await readFile(leavesFile())).toEqual(hashes);
    expect(await buffer(vault.leaves(name))).toEqual(hashes);
    await vault.remove(name);
    expect(await fixture.files('.state/leaves')).toEqual([]);
  });

  it('are not kept of one that comes whole, and made from its bytes for who asks for them', async () => {
    await push(vault, manifest, content);
    expect(await fixture.files('.state/leaves')).toEqual([]);
    expect(await buffer(vault.leaves(name))).toEqual(hashes);
    expect(await readFile(leavesFile())).toEqual(hashes);
  });

  it('are told of once, with the name of the backup, while the disk keeps none', async () => {
    const log = watchEvents();
    const faulty = faultyDisk();
    vault = await fixture.open({ disk: faulty.disk, log });
    const other = backupOfFR2(content, 1);
    for (const each of [manifest, other]) await push(vault, each, content);
    const askForAll = async () => {
      for (const each of [manifest, other]) await buffer(vault.leaves(each.facts.name)).catch(() => undefined);
    };
    const told = () => log.all.flatMap(({ level, fields: { backup } }) => (level === 'warn' ? [backup] : []));
    faulty.fail('ENOSPC', (call) => faulty.calls[call] === 'rename');
    for (let night = 0; night < 2; night += 1) await askForAll();
    expect(told()).toEqual([name]);

    faulty.fail('ENOSPC', () => false);
    await askForAll();
    for (const file of await fixture.files('.state/leaves')) await unlink(join(fixture.data, '.state/leaves', file));
    faulty.fail('ENOSPC', (call) => faulty.calls[call] === 'rename');
    await askForAll();
    expect(told()).toEqual([name, name]);
  });

  it('are kept of an own backup too', async () => {
    const own = manifestOf(content, servers.FR1.signer, { owner: 'FR1' });
    const draft = await vault.draft();
    await draft.write(content);
    await draft.commit(own.signed);
    expect(await fixture.files('.state/leaves')).toEqual([own.digest.toString('hex')]);
    expect(await buffer(vault.leaves(own.facts.name))).toEqual(hashes);
    expect(await fixture.files('.incoming')).toEqual([]);
  });

  it.each([
    ['missing', () => unlink(leavesFile())],
    ['empty', () => truncate(leavesFile(), 0)],
    ['too long', () => writeFile(leavesFile(), Buffer.concat([hashes, hashes]))],
    ['those of others', () => writeFile(leavesFile(), Buffer.alloc(hashes.length, 7))],
    ['damaged', () => flipBit(leavesFile(), 100)],
  ])('are made again from its bytes when they are %s', async (_, damage) => {
    await pushInParts(vault, manifest, content);
    await damage();
    expect(await buffer(vault.leaves(name))).toEqual(hashes);
    expect(await readFile(leavesFile())).toEqual(hashes);
    expect(await fixture.files('.incoming')).toEqual([]);
  });

  it('are not given out for bytes that are damaged: the backup goes into quarantine', async () => {
    await pushInParts(vault, manifest, content);
    await unlink(leavesFile());
    await flipBit(dataFile(), 100_000);
    await expect(buffer(vault.leaves(name))).rejects.toMatchObject({ kind: 'damaged' });
    expect(vault.find(name)).toBeNull();
  });

  it('are given where the disk cannot keep them, which is logged', async () => {
    await push(vault, manifest, content);
    const rename: Disk['rename'] = async (from, to) => {
      if (String(to) === leavesFile()) throw Object.assign(new Error('no space left'), { code: 'ENOSPC' });
      return realDisk.rename(from, to);
    };
    const warnings: unknown[] = [];
    const log = { ...silent, warn: (what: string, facts: unknown) => void warnings.push([what, facts]) };
    vault = await fixture.open({ disk: { ...realDisk, rename }, log });
    expect(await buffer(vault.leaves(name))).toEqual(hashes);
    expect(warnings).toEqual([['leaf hashes not kept', { backup: name, reason: 'no space left' }]]);
    expect(await fixture.files('.incoming')).toEqual([]);
    expect(vault.damaged(FR2)).toEqual([]);
  });

  it('come while a large backup is read for them: nobody waits for the first ones until all of it was read', async () => {
    const bytes = Buffer.alloc(400 * leafSize, 1);
    const large = backupOfFR2(bytes, 1);
    await push(vault, large, bytes);
    await rm(join(fixture.data, '.state/leaves', large.digest.toString('hex')), { force: true });
    const faulty = faultyDisk();
    vault = await fixture.open({ disk: faulty.disk });
    const reads = () => faulty.trace.filter((call) => call === `handle.read ${large.facts.name}`).length;
    const given = vault.leaves(large.facts.name)[Symbol.asyncIterator]();
    const { value: first } = await given.next();
    expect(first?.subarray(0, 32)).toEqual(leafHash(bytes.subarray(0, leafSize)));
    const meanwhile = reads();
    await given.return?.();
    await buffer(vault.leaves(large.facts.name));
    expect(reads() - meanwhile).toBeGreaterThan(2 * meanwhile);
    expect(faulty.open.size).toBe(0);
    expect(await fixture.files('.incoming')).toEqual([]);
  });

  it('of what is not held are swept away', async () => {
    await pushInParts(vault, manifest, content);
    await writeFile(join(fixture.data, '.state/leaves', 'a'.repeat(64)), hashes);
    await vault.tidy();
    expect(await fixture.files('.state/leaves')).toEqual([manifest.digest.toString('hex')]);
  });

  it('of a backup that comes in while those of others are swept away stay', async () => {
    const faulty = faultyDisk();
    vault = await fixture.open({ disk: faulty.disk });
    const looking = faulty.hold(/^readdir leaves$/);
    const tidied = vault.tidy();
    await looking.reached;
    await pushInParts(vault, manifest, content);
    looking.letGo();
    await tidied;
    expect(await fixture.files('.state/leaves')).toEqual([manifest.digest.toString('hex')]);
  });

  it('keep no file open while whoever asked for them takes its time', async () => {
    await pushInParts(vault, manifest, content);
    const faulty = faultyDisk();
    vault = await fixture.open({ disk: faulty.disk });
    const given = vault.leaves(name)[Symbol.asyncIterator]();
    expect((await given.next()).value).toEqual(hashes);
    expect([...faulty.open]).toEqual([]);
  });
});

describe('the leaves of a backup that is removed while they are given', () => {
  it('end with the news that it is not held any more', async () => {
    await pushInParts(vault, manifest, content);
    const faulty = faultyDisk();
    vault = await fixture.open({ disk: faulty.disk });
    const opening = new RegExp(`^open ${manifest.digest.toString('hex')}$`);
    const [comparing, giving] = [faulty.hold(opening), faulty.hold(opening)];
    const given = buffer(vault.leaves(name)).catch((failure) => failure);
    await comparing.reached;
    comparing.letGo();
    await giving.reached;
    await vault.remove(name);
    giving.letGo();
    expect(await given).toMatchObject({ kind: 'not-found' });
  });
});

describe('an offer of what is held', () => {
  it('is acknowledged again only after the copy was read: a damaged one is put aside and asked for', {
    timeout: 10_000,
  }, async () => {
    const receipt = await push(vault, manifest, content);
    expect(await vault.offer(FR2, manifest)).toEqual({ held: receipt });
    await vault.close();
    vault = await fixture.open();
    await flipBit(dataFile(), 0);
    expect(await vault.offer(FR2, manifest)).toEqual({ missing: [{ offset: 0, length: content.length }] });
    expect(vault.damaged(FR2)).toEqual([name]);
    await push(vault, manifest, content);
    expect((await readAll(vault, manifest)).equals(content)).toBe(true);
    expect(vault.damaged(FR2)).toEqual([]);
    await vault.close();
    expect(fixture.clock.pending()).toBe(0);
  });
});

describe('what a server holds that has a new identity', () => {
  const renewed = throwawayServer('FR1');
  const openRenewed = () =>
    fixture.open({
      identityOf: (host) => (host === FR1 ? renewed.identity : identityOf(host)),
      acknowledge: (manifestDigest, receivedAt) => signReceipt({ manifestDigest, receivedAt }, renewed.signer),
    });

  it('is whole, and its receipt is of the new identity, with the time when the backup came in', async () => {
    const receivedAt = fixture.clock.now();
    await push(vault, manifest, content);
    fixture.clock.jump(86_400_000);
    vault = await openRenewed();
    await vault.examine(name);
    expect(vault.find(name)).toMatchObject({ receivedAt });
    expect(await fixture.files('.quarantine')).toEqual([]);
    const { receipt } = await vault.held(name);
    expect(receipt && verifyReceipt(receipt, renewed.identity, manifest.digest)).toMatchObject({ receivedAt });
    expect(await vault.offer(FR2, manifest)).toEqual({ held: receipt });
    expect((await vault.held(name)).receipt).toEqual(receipt);
  });

  it('is damaged where the receipt is not of the one that it names', async () => {
    const receipt = await push(vault, manifest, content);
    const path = `${dataFile()}.manifest`;
    await flipBit(path, (await readFile(path)).indexOf(receipt.signature));
    vault = await openRenewed();
    await expect(vault.examine(name)).rejects.toMatchObject({ kind: 'damaged' });
    expect(vault.find(name)).toBeNull();
  });
});

describe('the receipt of what a server holds that has a new node key', () => {
  it('is of the new one, with the time when the backup came in', async () => {
    const keys = deriveKeys(generateRecoveryKey());
    const openWith = (epoch: number) => {
      const { identity, signer } = makeServerIdentity(keys, 'FR1', epoch);
      return fixture.open({
        identityOf: (host) => (host === FR1 ? identity : identityOf(host)),
        acknowledge: (manifestDigest, receivedAt) => signReceipt({ manifestDigest, receivedAt }, signer),
      });
    };
    vault = await openWith(1_700_000_000_000);
    const given = await push(vault, manifest, content);
    expect((await vault.held(name)).receipt).toEqual(given);
    fixture.clock.jump(86_400_000);
    vault = await openWith(1_800_000_000_000);
    const { receipt } = await vault.held(name);
    expect(receipt?.receipt).toEqual(given.receipt);
    expect(receipt?.certificate).not.toEqual(given.certificate);
    expect(await vault.offer(FR2, manifest)).toEqual({ held: receipt });
  });

  it('is not given for a time that this server has not signed', async () => {
    await push(vault, manifest, content);
    const path = `${dataFile()}.manifest`;
    const { manifest: signed, receipt } = HeldBackup.decode(await readFile(path));
    if (receipt === undefined) throw new Error('there is one');
    const facts = { ...Receipt.decode(receipt.receipt), receivedAtMs: 1 };
    const forged = { ...receipt, receipt: Receipt.encode(facts).finish() };
    await writeFile(path, HeldBackup.encode({ manifest: signed, receipt: forged }).finish());
    vault = await fixture.open();
    await expect(vault.held(name)).rejects.toMatchObject({
      kind: 'damaged',
      message: expect.stringContaining('its receipt proves nothing'),
    });
    expect(vault.damaged(FR2)).toEqual([name]);
  });
});

describe('a backup whose manifest names another SHA-256 than its bytes have', () => {
  it('is not damaged here: a person is told, and it fills no quarantine, however often it is pushed', async () => {
    const contradicting = backupOfFR2(content, 0, { sha256: randomBytes(32) });
    for (let time = 0; time < 3; time += 1) {
      await push(vault, contradicting, content);
      fixture.clock.jump(60_000);
      await vault.close();
      vault = await fixture.open();
    }
    await vault.examine(name);
    expect(await fixture.files('.quarantine')).toEqual([]);
    expect(vault.damaged(FR2)).toEqual([]);
    expect(vault.findings()).toEqual([expect.stringMatching(/\.enc: .*SHA-256/)]);
    await vault.remove(name);
    expect(vault.findings()).toEqual([]);
  });
});

describe('a backup that is found damaged', () => {
  it('is told to its owner and taken again, also when a person has removed the quarantine', async () => {
    await push(vault, manifest, content);
    await rm(join(fixture.data, '.quarantine'), { recursive: true });
    await flipBit(dataFile(), 70_000);
    await expect(vault.examine(name)).rejects.toMatchObject({ kind: 'damaged' });
    expect(vault.damaged(FR2)).toEqual([name]);
    expect(await fixture.files('.quarantine')).toHaveLength(2);
    fixture.clock.jump(60_000);
    await push(vault, manifest, content);
    expect((await readAll(vault, manifest)).equals(content)).toBe(true);
    expect(vault.damaged(FR2)).toEqual([]);
  });

  it('is not said to be stuck where only the hashes of its leaves cannot be removed', async () => {
    await pushInParts(vault, manifest, content);
    const faulty = faultyDisk();
    const log = watchEvents();
    vault = await fixture.open({ disk: faulty.disk, log });
    faulty.fail('EIO', (call) => faulty.trace[call] === `unlink ${manifest.digest.toString('hex')}`);
    await damage(vault, name);
    expect(log.all.at(-1)).toMatchObject({ level: 'error', event: 'backup put into quarantine' });
  });

  it('is called damaged by all who find it at once', async () => {
    await push(vault, manifest, content);
    const faulty = faultyDisk();
    vault = await fixture.open({ disk: faulty.disk });
    await truncate(`${dataFile()}.manifest`, 100);
    const looking = faulty.hold(new RegExp(`^lstat ${name}$`));
    const proof = vault.prove();
    await looking.reached;
    const found = Promise.allSettled([vault.held(name), vault.held(name)]);
    const closed = () => faulty.calls.filter((call) => call === 'handle.close').length;
    const before = closed();
    // Each reads the manifest; what follows has to wait until the size of the file is known.
    while (closed() < before + 2) await setImmediate();
    await settle();
    looking.letGo();
    const damaged = { status: 'rejected', reason: expect.objectContaining({ kind: 'damaged' }) };
    expect(await found).toEqual([damaged, damaged]);
    await proof;
    expect(vault.damaged(FR2)).toEqual([name]);
    expect(await fixture.files('.quarantine')).toHaveLength(2);
  });

  it('and sent again is not put aside by who reads the damaged copy late', async () => {
    await push(vault, manifest, content);
    await flipBit(dataFile(), 70_000);
    const faulty = faultyDisk();
    vault = await fixture.open({ disk: faulty.disk });
    const reading = faulty.hold(new RegExp(`^handle.read ${name}$`));
    const late = vault.examine(name);
    await reading.reached;
    await truncate(dataFile(), 100);
    await vault.prove();
    fixture.clock.jump(60_000);
    await push(vault, manifest, content);
    reading.letGo();
    await expect(late).rejects.toMatchObject({ kind: 'damaged' });
    expect((await readAll(vault, manifest)).equals(content)).toBe(true);
    expect(vault.damaged(FR2)).toEqual([]);
    expect(await fixture.files('.quarantine')).toHaveLength(2);
  });
});

describe('a vault that is closed', () => {
  it('ends an examination that an offer began, and reads nothing after it', async () => {
    const large = randomBytes(20 * leafSize);
    const held = backupOfFR2(large);
    await push(vault, held, large);
    const faulty = faultyDisk();
    vault = await fixture.open({ disk: faulty.disk });
    const reading = faulty.hold(new RegExp(`^handle.read ${name}$`));
    const answer = vault.offer(FR2, held).catch((failure) => failure);
    await reading.reached;
    const closed = vault.close();
    reading.letGo();
    await closed;
    const calls = faulty.calls.length;
    expect(await answer).toMatchObject({ kind: 'interrupted' });
    await settle();
    expect(faulty.calls).toHaveLength(calls);
    expect(vault.damaged(FR2)).toEqual([]);
  });

  it('waits for a backup that is being committed: another node may have the folder after it', async () => {
    const faulty = faultyDisk();
    vault = await fixture.open({ disk: faulty.disk });
    const linking = faulty.hold(new RegExp(`^link ${name}$`));
    const pushed = push(vault, manifest, content);
    await linking.reached;
    const closed = vault.close().then(() => 'closed');
    expect(await Promise.race([closed, settle().then(() => 'waits')])).toBe('waits');
    linking.letGo();
    await closed;
    const calls = faulty.calls.length;
    await pushed;
    expect(faulty.calls.slice(calls)).not.toContain('link');
    expect((await fixture.open()).find(name)).not.toBeNull();
  });
});

describe('a vault that is closed while the last leaf of a backup is written', () => {
  it('waits until that is committed', async () => {
    const faulty = faultyDisk();
    vault = await fixture.open({ disk: faulty.disk });
    const writing = faulty.hold(/^handle.write .*part$/);
    const pushed = push(vault, manifest, content);
    await writing.reached;
    await settle();
    const closed = vault.close().then(() => 'closed');
    expect(await Promise.race([closed, settle().then(() => 'waits')])).toBe('waits');
    writing.letGo();
    await closed;
    const calls = faulty.calls.length;
    await pushed;
    expect(faulty.calls).toHaveLength(calls);
    expect((await fixture.open()).find(name)).not.toBeNull();
  });
});

describe('a range that is open when the vault is closed', () => {
  const receive = async () => {
    const faulty = faultyDisk();
    vault = await fixture.open({ disk: faulty.disk });
    await vault.offer(FR2, manifest);
    return { faulty, receiver: await vault.receive(FR2, manifest.digest, { offset: 0, length: content.length }) };
  };
  const missing = async () => (await fixture.open()).offer(FR2, manifest);

  it('ends with it: what has arrived stays, and nothing is written after it, where another node may have the folder', async () => {
    const { faulty, receiver } = await receive();
    await receiver.write(content.subarray(0, leafSize));
    await vault.close();
    expect([...faulty.open]).toEqual([]);
    const calls = faulty.calls.length;
    await receiver.abort();
    expect(faulty.calls).toHaveLength(calls);
    expect(await missing()).toEqual({ missing: [{ offset: leafSize, length: content.length - leafSize }] });
  });

  it('is waited for where it waits for the disk', async () => {
    const { faulty, receiver } = await receive();
    const writing = faulty.hold(/^handle.write .*part$/);
    await receiver.write(content);
    await writing.reached;
    const closed = vault.close().then(() => 'closed');
    expect(await Promise.race([closed, settle().then(() => 'waits')])).toBe('waits');
    writing.letGo();
    await closed;
    expect([...faulty.open]).toEqual([]);
    await expect(receiver.write(content)).rejects.toMatchObject({ kind: 'interrupted' });
  });

  it('commits nothing any more', async () => {
    await vault.offer(FR2, manifest);
    const receiver = await vault.receive(FR2, manifest.digest, { offset: 0, length: content.length });
    await receiver.write(content);
    await vault.close();
    await expect(receiver.finish()).rejects.toMatchObject({ kind: 'interrupted' });
    await receiver.abort();
    expect(await fixture.files('FR2')).toEqual([]);
  });
});

describe('a backup of which the disk cannot read a file', () => {
  const openWith = async (fault: Fault, step: string) => {
    await push(vault, manifest, content);
    const faulty = faultyDisk();
    vault = await fixture.open({ disk: faulty.disk });
    faulty.fail(fault, (call) => faulty.trace[call] === step);
    return faulty;
  };

  it.each([
    ['its manifest', `handle.read ${name}.manifest`, () => buffer(vault.leaves(name))],
    ['its data', `handle.read ${name}`, () => readAll(vault, manifest)],
  ])('is told to a person, and stands in the way of no other: %s', async (_, step, read) => {
    const faulty = await openWith('EIO', step);
    await expect(read()).rejects.toMatchObject({ kind: 'failed', retryable: false });
    expect(vault.findings()).toEqual([expect.stringContaining(': cannot be read: EIO')]);
    expect(vault.isDoubted(name)).toBe(true);
    faulty.fail('EIO', () => false);
    await vault.examine(name);
    expect(vault.findings()).toEqual([]);
    expect(vault.isDoubted(name)).toBe(false);
  });

  it('is told to nobody any more once the rules have removed it', async () => {
    await openWith('EIO', `handle.read ${name}.manifest`);
    await expect(vault.held(name)).rejects.toMatchObject({ kind: 'failed' });
    expect(vault.findings()).toHaveLength(1);
    await vault.remove(name);
    expect(vault.findings()).toEqual([]);
    expect(vault.damaged(FR2)).toEqual([]);
  });

  it.each<[string, () => Promise<unknown>]>([
    ['its hashes', () => buffer(vault.leaves(name))],
    ['an examination', () => vault.examine(name)],
    ['an offer of its owner', () => vault.offer(FR2, manifest)],
  ])('stays held when it is not read once, for %s, and is damaged when it is not read again', async (_, read) => {
    const faulty = await openWith('EIO', `handle.read ${name}`);
    await expect(read()).rejects.toMatchObject({ kind: 'failed' });
    expect(vault.isDoubted(name)).toBe(true);
    expect(await fixture.files('.quarantine')).toEqual([]);
    faulty.fail('EIO', () => false);
    await read();
    expect(vault.isDoubted(name)).toBe(false);

    faulty.fail('EIO', (call) => faulty.trace[call] === `handle.read ${name}`);
    for (let time = 0; time < 2; time += 1) await vault.examine(name).catch(() => undefined);
    expect(vault.damaged(FR2)).toEqual([name]);
  });

  it.each(['EIO', 'ENODATA', 'EREMOTEIO'] as const)('is damaged when two examinations meet %s', async (fault) => {
    await openWith(fault, `handle.read ${name}.manifest`);
    await expect(vault.examine(name)).rejects.toMatchObject({ kind: 'failed', retryable: false });
    await expect(vault.examine(name)).rejects.toMatchObject({ kind: 'damaged' });
    expect(vault.damaged(FR2)).toEqual([name]);
  });

  it.each<[string, () => Promise<unknown>]>([
    ['is a folder', () => spoilManifest((path) => mkdir(path))],
    ['is a link', () => spoilManifest((path) => symlink('/etc/passwd', path))],
  ])(
    'is damaged when it is examined and its manifest %s: its owner is told, and can send it again',
    async (_, spoil) => {
      await spoil();
      await expect(vault.examine(name)).rejects.toMatchObject({ kind: 'damaged' });
      expect(vault.damaged(FR2)).toEqual([name]);
      expect(await fixture.files('FR2')).toEqual([]);
      vault = await fixture.open();
      expect(vault.damaged(FR2)).toEqual([name]);
      await push(vault, manifest, content);
      expect((await readAll(vault, manifest)).equals(content)).toBe(true);
    },
  );

  it('is not damaged where only the rights are wrong: who set them can set them right', async () => {
    const faulty = await openWith('EACCES', `handle.read ${name}.manifest`);
    await expect(vault.examine(name)).rejects.toMatchObject({ kind: 'failed', retryable: false });
    expect(await fixture.files('.quarantine')).toEqual([]);
    faulty.fail('EACCES', () => false);
    await vault.examine(name);
    expect(vault.damaged(FR2)).toEqual([]);
  });

  it.each<[string, Fault, string]>([
    ['its rights were wrong', 'EACCES', `open ${name}`],
    ['its manifest was not read', 'EIO', `handle.read ${name}.manifest`],
  ])('stays held when its data is not read for the first time, also where just before %s', async (_, fault, step) => {
    const faulty = await openWith(fault, step);
    await expect(vault.examine(name)).rejects.toMatchObject({ kind: 'failed' });
    expect(vault.isDoubted(name)).toBe(true);
    faulty.fail('EIO', (call) => faulty.trace[call] === `handle.read ${name}`);
    await expect(vault.examine(name)).rejects.toMatchObject({ kind: 'failed' });
    expect(vault.damaged(FR2)).toEqual([]);
    await expect(vault.examine(name)).rejects.toMatchObject({ kind: 'damaged' });
    expect(vault.damaged(FR2)).toEqual([name]);
  });

  async function spoilManifest(put: (path: string) => Promise<unknown>): Promise<void> {
    await push(vault, manifest, content);
    await rm(`${dataFile()}.manifest`);
    await put(`${dataFile()}.manifest`);
  }
});

describe('an offer of what is held and just being read', () => {
  it('is told after 5 s to ask again, and the answer that is ready then counts for 20 minutes', async () => {
    const receipt = await push(vault, manifest, content);
    await vault.close();
    const faulty = faultyDisk();
    vault = await fixture.open({ disk: faulty.disk });
    const timesRead = () => faulty.trace.filter((call) => call === `open ${name}`).length;
    const reading = faulty.hold(new RegExp(`^handle.read ${name}$`));
    const offer = expect(vault.offer(FR2, manifest)).rejects.toMatchObject({
      message: expect.stringContaining('is just being read again'),
      retryable: true,
    });
    await reading.reached;
    await fixture.clock.advance(5000);
    await offer;
    reading.letGo();
    expect(await vault.offer(FR2, manifest)).toEqual({ held: receipt });
    await fixture.clock.advance(20 * 60_000 - 1);
    expect(await vault.offer(FR2, manifest)).toEqual({ held: receipt });
    expect(timesRead()).toBe(1);
    await fixture.clock.advance(1);
    expect(await vault.offer(FR2, manifest)).toEqual({ held: receipt });
    expect(timesRead()).toBe(2);
    await vault.close();
  });

  it('is taken when the backup is put aside meanwhile', async () => {
    await push(vault, manifest, content);
    const faulty = faultyDisk();
    vault = await fixture.open({ disk: faulty.disk });
    const reading = faulty.hold(new RegExp(`^open ${name}.manifest$`));
    const offer = vault.offer(FR2, manifest);
    await reading.reached;
    await rm(dataFile());
    await vault.prove();
    reading.letGo();
    expect(await offer).toEqual({ missing: [{ offset: 0, length: content.length }] });
  });
});

describe('the proof of all manifests', () => {
  it('puts nothing away and says nothing about a backup that the disk does not read just now', async () => {
    await push(vault, manifest, content);
    const faulty = faultyDisk();
    vault = await fixture.open({ disk: faulty.disk });
    const before = faulty.calls.length;
    await vault.prove();
    const reads = faulty.trace.slice(before).indexOf(`open ${name}.manifest`);
    expect(reads).toBeGreaterThanOrEqual(0);
    for (let nth = 0; nth <= reads; nth += 1) {
      vault = await fixture.open({ disk: faulty.disk });
      const start = faulty.calls.length;
      faulty.fail('EIO', (call) => call === start + nth);
      await expect(vault.prove()).rejects.toMatchObject({ kind: 'failed', message: expect.stringContaining(name) });
      expect(vault.find(name)).not.toBeNull();
      expect(await fixture.files('.quarantine')).toEqual([]);
      await vault.prove();
      expect(vault.findings()).toEqual([]);
    }
  });

  it('finds nothing about a backup that is removed meanwhile', async () => {
    await push(vault, manifest, content);
    let remove = async (): Promise<void> => {};
    const open: Disk['open'] = async (path, ...how) => {
      if (String(path).endsWith('.manifest')) await remove();
      return realDisk.open(path, ...how);
    };
    vault = await fixture.open({ disk: { ...realDisk, open } });
    remove = () => vault.remove(name);
    await expect(vault.held(name)).rejects.toMatchObject({ kind: 'not-found' });
    expect(vault.findings()).toEqual([]);
    expect(await fixture.files('.quarantine')).toEqual([]);
  });
});
