import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import {
  chown,
  link,
  mkdir,
  open,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  symlink,
  truncate,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { HeldBackup } from '../../../src/mesh/generated/anemone/backup/v1/backup.js';
import type { Range } from '../../../src/mesh/generated/anemone/peer/v1/peer.js';
import { deriveKeys, generateRecoveryKey } from '../../../src/mesh/identity/recovery-key.js';
import { makeServerIdentity, type ServerIdentity } from '../../../src/mesh/identity/server-identity.js';
import type { VerifiedManifest } from '../../../src/mesh/manifest/manifest.js';
import { signReceipt, verifyReceipt } from '../../../src/mesh/manifest/receipt.js';
import { type Disk, realDisk } from '../../../src/node/vault/disk.js';
import type { PushAnswer, RangeReceiver } from '../../../src/node/vault/receiving.js';
import type { Vault } from '../../../src/node/vault/vault.js';
import { silent, watchEvents } from '../../support/events.js';
import { flipBit, flipped } from '../../support/flip-bit.js';
import { throwawayServer } from '../../support/identities.js';
import { manifestOf } from '../../support/manifests.js';
import { type Fault, faultyDisk } from './faulty-disk.js';
import {
  backupOfFR2,
  damage,
  FR2,
  identityOf,
  push,
  pushInParts,
  readAll,
  send,
  servers,
  US1,
  type VaultFixture,
  writeAll,
} from './fixture.js';
import { temporaryVault } from './temporary-vault.js';

const leaf = 65_536;
const content = randomBytes(5 * leaf + 1000);
const manifest = backupOfFR2(content);
const { name } = manifest.facts;
/** Another one of the same name. */
const another = backupOfFR2(randomBytes(1000));

let fixture: VaultFixture;
let vault: Vault;

beforeEach(async () => {
  fixture = await temporaryVault();
  vault = await fixture.open();
});
async function makeOwn(bytes: Uint8Array, own: VerifiedManifest) {
  const draft = await vault.draft();
  await draft.write(bytes);
  return draft.commit(own.signed);
}

async function missingOf(offered: VerifiedManifest, asked = vault): Promise<Range[]> {
  const offer = await asked.offer(FR2, offered);
  if ('held' in offer) throw new Error('it is held already');
  return offer.missing;
}

async function isHeldWhole(asked: Vault): Promise<boolean> {
  return (await readAll(asked, manifest)).equals(content);
}

describe('a file system without hard links, by which backups get their names', () => {
  it('is told at the start, and no byte of a backup is taken in vain', async () => {
    const link = () => Promise.reject(Object.assign(new Error('no links'), { code: 'EPERM', syscall: 'link' }));
    const logged: string[] = [];
    const log = { ...silent, error: (event: string) => void logged.push(event) };
    vault = await fixture.open({ disk: { ...realDisk, link }, log });
    const message = expect.stringContaining('knows no hard links, so no backup can be kept');
    expect(logged).toEqual(['no backup can be kept']);
    expect(vault.findings()).toEqual([message]);
    const refusal = { kind: 'failed', message, hint: expect.stringContaining('ext4') };
    await expect(vault.offer(FR2, manifest)).rejects.toMatchObject(refusal);
    await expect(vault.draft()).rejects.toMatchObject(refusal);
    expect(await fixture.files('.incoming')).toEqual([]);
  });

  it('is not what a disk is taken for that fails otherwise', async () => {
    for (const call of ['open', 'link']) {
      const faulty = faultyDisk();
      faulty.fail('EIO', (number) => faulty.calls[number] === call && faulty.trace[number]?.endsWith('.tmp') === true);
      expect((await fixture.open({ disk: faulty.disk })).findings()).toEqual([]);
      expect(await fixture.files('.incoming')).toEqual([]);
    }
  });
});

/** A disk on which another one is mounted at this folder. */
function withMount(folder: string): Disk {
  const lstat = async (path: string): Promise<object> => {
    const stats = await realDisk.lstat(path);
    return path === join(fixture.data, folder) ? Object.assign(stats, { dev: stats.dev + 1 }) : stats;
  };
  return Object.assign({}, realDisk, { lstat });
}

describe('a backup of a peer', () => {
  it('is acknowledged with a receipt of this server, and lies in the folder of its owner', async () => {
    const receipt = await push(vault, manifest, content);
    expect(verifyReceipt(receipt, servers.FR1.identity, manifest.digest)).toMatchObject({
      receivedAt: fixture.clock.now(),
    });
    expect((await readFile(join(fixture.data, 'FR2', name))).equals(content)).toBe(true);
    expect(await fixture.files('FR2')).toEqual([name, `${name}.manifest`]);
    expect(await fixture.files('.incoming')).toEqual([]);
    expect(vault.used(FR2)).toBe(content.length);
  });

  it('is there after a restart, with the facts of its manifest', async () => {
    await push(vault, manifest, content);
    const entry = (await fixture.open()).find(name);
    expect(entry).toEqual(vault.find(name));
    expect(entry).toMatchObject({ owner: 'FR2', own: false, size: content.length, sequence: 1 });
    expect(entry?.identity).toBe(servers.FR2.identity);
    expect((await vault.held(name)).manifest).toEqual(manifest.signed);
  });

  it('gets the same receipt when it is offered again, also after a restart', async () => {
    const receipt = await push(vault, manifest, content);
    fixture.clock.jump(60_000);
    expect(await vault.offer(FR2, manifest)).toEqual({ held: receipt });
    expect(await (await fixture.open()).offer(FR2, manifest)).toEqual({ held: receipt });
  });

  it('is in conflict with another one of its name, and stays as it is', async () => {
    await push(vault, manifest, content);
    const other = backupOfFR2(randomBytes(1000));
    expect(other.facts.name).toBe(name);
    await expect(vault.offer(FR2, other)).rejects.toMatchObject({ kind: 'conflict' });
    expect(await isHeldWhole(vault)).toBe(true);
  });

  it('is held once when two with its name are offered before either has arrived', async () => {
    const otherContent = randomBytes(1000);
    const other = backupOfFR2(otherContent);
    await vault.offer(FR2, manifest);
    await vault.offer(FR2, other);
    await push(vault, manifest, content);
    await expect(push(vault, other, otherContent)).rejects.toMatchObject({ kind: 'conflict' });
    expect(await isHeldWhole(vault)).toBe(true);
    expect(await fixture.files('.incoming')).toEqual([]);
  });

  it('keeps no room for another one of its name that was offered before it arrived', async () => {
    vault = await fixture.open({ quotaOf: () => 2 * content.length });
    const other = backupOfFR2(randomBytes(content.length));
    await vault.offer(FR2, other);
    await push(vault, manifest, content);
    await expect(vault.offer(FR2, other)).rejects.toMatchObject({ kind: 'conflict' });
    expect(await missingOf(backupOfFR2(randomBytes(content.length), 1))).toHaveLength(1);
  });

  it('is refused when the caller is not its owner', async () => {
    await expect(vault.offer(US1, manifest)).rejects.toMatchObject({ kind: 'forbidden' });
    await vault.offer(FR2, manifest);
    const range = { offset: 0, length: content.length };
    await expect(vault.receive(US1, manifest.digest, range)).rejects.toMatchObject({ kind: 'not-found' });
  });

  it('is thrown away when its bytes are not those of its manifest', async () => {
    await expect(push(vault, manifest, flipped(content, leaf))).rejects.toMatchObject({ kind: 'damaged' });
    expect(await fixture.files('.incoming')).toEqual([]);
    expect(await fixture.files('FR2')).toEqual([]);
    await push(vault, manifest, content);
    expect(await isHeldWhole(vault)).toBe(true);
  });

  it.each([1, leaf - 1, leaf, leaf + 1, 16 * leaf, 16 * leaf + 1, 2100 * leaf + 7])(
    'may have %i bytes',
    async (size) => {
      const bytes = randomBytes(size);
      const sized = backupOfFR2(bytes);
      await push(vault, sized, bytes);
      expect((await readAll(vault, sized)).equals(bytes)).toBe(true);
    },
  );

  it('that vanished from the disk is taken again when its owner offers it', async () => {
    await push(vault, manifest, content);
    await rm(join(fixture.data, 'FR2', name));
    await push(vault, manifest, content);
    expect(await isHeldWhole(vault)).toBe(true);
  });

  it('in whose place somebody has put a folder is taken again, and the folder put aside when all of it is there', async () => {
    await push(vault, manifest, content);
    const path = join(fixture.data, 'FR2', name);
    await rm(path);
    await mkdir(path);
    expect(await missingOf(manifest)).toEqual([{ offset: 0, length: content.length }]);
    expect(vault.damaged(FR2)).toEqual([name]);
    expect(await fixture.files('.quarantine')).toEqual([]);
    await push(vault, manifest, content);
    expect(await isHeldWhole(vault)).toBe(true);
    expect(vault.damaged(FR2)).toEqual([]);
    expect(await fixture.files('.quarantine')).toHaveLength(2);
    expect(await isHeldWhole(await fixture.open())).toBe(true);
  });

  it('is kept again after a person has removed the folder of its owner, which one push finds out', async () => {
    await push(vault, manifest, content);
    await rm(join(fixture.data, 'FR2'), { recursive: true });
    const next = backupOfFR2(content, 1);
    await expect(push(vault, next, content)).rejects.toMatchObject({ kind: 'failed' });
    await push(vault, next, content);
    expect((await readAll(vault, next)).equals(content)).toBe(true);
  });

  it('is refused before a byte of it where the folder of its owner is a link, in which no start would look', async () => {
    await mkdir(join(fixture.data, 'elsewhere'));
    await symlink('elsewhere', join(fixture.data, 'FR2'));
    await expect(vault.offer(FR2, manifest)).rejects.toMatchObject({
      kind: 'failed',
      retryable: true,
      message: expect.stringMatching(`${fixture.data}/FR2 is a link`),
      hint: expect.stringContaining('server'),
    });
    expect(await fixture.files('.incoming')).toEqual([]);
    await rm(join(fixture.data, 'FR2'));
    await push(vault, manifest, content);
    expect(await isHeldWhole(await fixture.open())).toBe(true);
  });

  it('is refused before a byte of it where the folder of its owner is on another disk than what arrives', async () => {
    await mkdir(join(fixture.data, 'FR2'));
    const offered = (await fixture.open({ disk: withMount('FR2') })).offer(FR2, manifest);
    await expect(offered).rejects.toMatchObject({
      kind: 'failed',
      retryable: true,
      message: expect.stringMatching(`${fixture.data}/FR2 is in another file system than ${fixture.data}/.incoming`),
      hint: expect.stringContaining('server'),
    });
    expect(await fixture.files('.incoming')).toEqual([]);
  });

  it('is missed when a start finds its manifest alone, until its owner has sent it again or the rules removed it', async () => {
    await push(vault, manifest, content);
    await rm(join(fixture.data, 'FR2', name));
    for (let start = 0; start < 2; start += 1) {
      vault = await fixture.open();
      expect(vault.damaged(FR2)).toEqual([name]);
      expect(vault.findings()).toEqual([expect.stringContaining('quarantine')]);
      expect(await fixture.files('FR2')).toEqual([]);
    }
    await push(vault, manifest, content);
    expect(vault.damaged(FR2)).toEqual([]);
    await vault.remove(name);
    expect((await fixture.open()).damaged(FR2)).toEqual([]);
  });

  it('is missed when its manifest alone is left, also where a person keeps copies of the folder as links', async () => {
    await push(vault, manifest, content);
    for (const file of [name, `${name}.manifest`]) {
      await link(join(fixture.data, 'FR2', file), join(fixture.data, '.state', file));
    }
    await rm(join(fixture.data, 'FR2', name));
    vault = await fixture.open();
    expect(vault.damaged(FR2)).toEqual([name]);
    expect(await fixture.files('.quarantine')).toEqual([expect.stringContaining(`${name}.manifest`)]);
  });

  it('is missed, and can be sent again, when a start finds a folder in place of its manifest', async () => {
    await push(vault, manifest, content);
    await rm(join(fixture.data, 'FR2', `${name}.manifest`));
    await mkdir(join(fixture.data, 'FR2', `${name}.manifest`));
    vault = await fixture.open();
    expect(vault.damaged(FR2)).toEqual([name]);
    await push(vault, manifest, content);
    expect(vault.damaged(FR2)).toEqual([]);
    expect(await isHeldWhole(await fixture.open())).toBe(true);
  });

  it.each([
    ['its commit', () => push(vault, manifest, content), /^link .*\.enc$/, null],
    ['its removal', () => vault.remove(name), /^handle\.sync FR2$/, name],
  ] as const)(
    'leaves nothing, and is not missed, when the node was killed in the midst of %s',
    async (_, story, at, held) => {
      if (held !== null) await push(vault, manifest, content);
      const faulty = faultyDisk();
      vault = await fixture.open({ disk: faulty.disk });
      let dead = false;
      faulty.fail('EIO', (call) => {
        dead ||= at.test(faulty.trace[call] ?? '');
        return dead;
      });
      await expect(story()).rejects.toMatchObject({ kind: 'failed' });
      expect(await fixture.files('FR2')).toEqual([`${name}.manifest`]);
      vault = await fixture.open();
      expect(await fixture.files('FR2')).toEqual([]);
      expect((await fixture.files('.incoming')).filter((file) => file.endsWith('.tmp'))).toEqual([]);
      expect(vault.findings()).toEqual([]);
      expect(vault.damaged(FR2)).toEqual([]);
    },
  );

  it('is not missed when the node was killed in the midst of its commit, where a removal had left its manifest', async () => {
    await push(vault, manifest, content);
    const faulty = faultyDisk();
    vault = await fixture.open({ disk: faulty.disk });
    faulty.fail('EIO', (call) => faulty.trace[call] === `unlink ${name}.manifest`);
    await expect(vault.remove(name)).rejects.toMatchObject({ kind: 'failed' });
    let dead = false;
    faulty.fail('EIO', (call) => {
      dead ||= faulty.trace[call] === `link ${name}`;
      return dead;
    });
    await expect(push(vault, manifest, content)).rejects.toMatchObject({ kind: 'failed' });
    expect(await fixture.files('FR2')).toEqual([`${name}.manifest`]);
    vault = await fixture.open();
    expect(vault.damaged(FR2)).toEqual([]);
    expect(await fixture.files('FR2')).toEqual([]);
  });

  describe('whose manifest the disk could not read at the start', () => {
    const openPastIt = async (fault: Fault = 'EIO') => {
      const faulty = faultyDisk();
      faulty.fail(fault, (call) => faulty.calls[call] === 'openSync');
      vault = await fixture.open({ disk: faulty.disk });
      expect(vault.find(name)).toBeNull();
      fixture.clock.jump(60_000);
      return faulty;
    };

    it('is acknowledged when its owner sends it again, though the receipt beside it is another', async () => {
      await push(vault, manifest, content);
      await openPastIt();
      const receipt = await push(vault, manifest, content);
      expect(verifyReceipt(receipt, servers.FR1.identity, manifest.digest)).toMatchObject({
        receivedAt: fixture.clock.now(),
      });
      expect((await vault.held(name)).receipt).toEqual(receipt);
      expect(vault.findings()).toEqual([]);
      expect(await isHeldWhole(vault)).toBe(true);
      expect((await fixture.open()).find(name)).toEqual(vault.find(name));
    });

    it('is there after the next start, whatever fails while it is sent again', async () => {
      await push(vault, manifest, content);
      const trying = async (bad: number): Promise<number> => {
        const faulty = await openPastIt();
        const start = faulty.calls.length;
        faulty.fail('EIO', (call) => call === start + bad);
        await push(vault, manifest, content).catch(() => undefined);
        expect((await fixture.open()).find(name), `EIO in ${faulty.trace[start + bad]}`).not.toBeNull();
        return faulty.calls.length - start;
      };
      const calls = await trying(Number.POSITIVE_INFINITY);
      for (let bad = 0; bad < calls; bad += 1) await trying(bad);
    });

    it('is told to its owner, and taken again though the disk still cannot read it', async () => {
      await push(vault, manifest, content);
      const faulty = await openPastIt();
      expect(vault.damaged(FR2)).toEqual([name]);
      expect(await fixture.files('FR2')).toEqual([name, `${name}.manifest`]);
      const start = faulty.calls.length;
      const bad = (call: number) => faulty.trace[call] === `handle.read ${name}.manifest` && isFirst(call);
      const isFirst = (call: number) => faulty.trace.indexOf(`handle.read ${name}.manifest`, start) === call;
      faulty.fail('EIO', bad);
      await push(vault, manifest, content);
      expect(vault.damaged(FR2)).toEqual([]);
      expect(await fixture.files('.quarantine')).toHaveLength(2);
      vault = await fixture.open();
      expect(await isHeldWhole(vault)).toBe(true);
      expect(vault.damaged(FR2)).toEqual([]);
    });

    it('is not lost where only the rights are wrong: a person is told, and it is not sent in vain', async () => {
      await push(vault, manifest, content);
      const faulty = await openPastIt('EACCES');
      expect(vault.damaged(FR2)).toEqual([]);
      expect(vault.findings()).toEqual([
        expect.stringMatching(/EACCES.*Give it to the node's user.* restart the node/),
      ]);
      await expect(vault.offer(FR2, manifest)).rejects.toMatchObject({ kind: 'failed', retryable: false });
      faulty.fail('EACCES', () => false);
      expect(await isHeldWhole(await fixture.open())).toBe(true);
    });

    it.each<[Fault, string]>([
      ['EIO', 'Look at the disk, and'],
      ['EACCES', "Give it to the node's user (chown -R), and"],
    ])(
      "stands in no other owner's way where it is a whole folder (%s), and is neither lost nor taken again",
      async (code, mend) => {
        await push(vault, manifest, content);
        await makeOwn(content, manifestOf(content, servers.FR1.signer));
        const faulty = faultyDisk();
        faulty.fail(code, (call) => faulty.trace[call] === 'readdir FR2');
        vault = await fixture.open({ disk: faulty.disk });
        expect(vault.list().map(({ owner }) => owner)).toEqual(['FR1']);
        expect(vault.damaged(FR2)).toEqual([]);
        const [told] = vault.findings();
        expect(told).toContain(`nothing of FR2 is shown or taken: ${code}`);
        expect(told).toContain(`${mend} restart the node, which reads it at its start`);
        expect(vault.whyLocked(name)).toMatchObject({ kind: 'failed' });
        await expect(vault.offer(FR2, another)).rejects.toMatchObject({ kind: 'failed', retryable: false });
        vault = await fixture.open();
        expect(await isHeldWhole(vault)).toBe(true);
      },
    );

    it('is not lost behind a lock because an earlier copy of it is in quarantine, and its leaf hashes stay', async () => {
      await pushInParts(vault, manifest, content);
      await damage(vault, name);
      await pushInParts(vault, manifest, content);
      for (const bad of ['readdir FR2', `openSync ${name}.manifest`]) {
        const faulty = faultyDisk();
        faulty.fail('EACCES', (call) => faulty.trace[call] === bad);
        vault = await fixture.open({ disk: faulty.disk });
        expect(vault.find(name)).toBeNull();
        expect([vault.damaged(FR2), await vault.lost(FR2)], bad).toEqual([[], []]);
        await vault.tidy();
        expect(await fixture.files('.state/leaves'), bad).toHaveLength(1);
      }
    });

    it('is in conflict with another one of the same bytes', async () => {
      const receipt = await push(vault, manifest, content);
      await openPastIt();
      const other = backupOfFR2(content, 0, { sequence: 2, previous: randomBytes(32) });
      await expect(push(vault, other, content)).rejects.toMatchObject({ kind: 'conflict' });
      vault = await fixture.open();
      expect((await vault.held(name)).receipt).toEqual(receipt);
    });
  });

  it('makes a file of the predecessor a backup when the bytes are the same, and leaves it alone when not', async () => {
    await mkdir(join(fixture.data, 'FR2'));
    await writeFile(join(fixture.data, 'FR2', name), content);
    vault = await fixture.open();
    expect(vault.find(name)).toBeNull();
    await push(vault, manifest, content);
    expect(await isHeldWhole(await fixture.open())).toBe(true);

    const second = backupOfFR2(content, 1);
    await writeFile(join(fixture.data, 'FR2', second.facts.name), 'something else');
    await expect(push(vault, second, content)).rejects.toMatchObject({ kind: 'conflict' });
    expect(await readFile(join(fixture.data, 'FR2', second.facts.name), 'utf8')).toBe('something else');
    expect(await fixture.files('FR2')).not.toContain(`${second.facts.name}.manifest`);
  });
});

describe('a range', () => {
  it('may come in any order, and the last one completes the backup', async () => {
    expect(await missingOf(manifest)).toEqual([{ offset: 0, length: content.length }]);
    const tail = { offset: 4 * leaf, length: leaf + 1000 };
    const middle = { offset: leaf, length: leaf };
    expect(await send(vault, manifest, content, tail)).toEqual({ missing: [{ offset: 0, length: 4 * leaf }] });
    const gaps = [
      { offset: 0, length: leaf },
      { offset: 2 * leaf, length: 2 * leaf },
    ];
    expect(await send(vault, manifest, content, middle)).toEqual({ missing: gaps });
    for (const [index, gap] of gaps.entries()) {
      expect(Object.keys(await send(vault, manifest, content, gap))).toEqual([index === 0 ? 'missing' : 'held']);
    }
    expect(await isHeldWhole(vault)).toBe(true);
  });

  it('may come over several connections that overlap, one byte or many at a time', async () => {
    await vault.offer(FR2, manifest);
    const whole = { offset: 0, length: content.length };
    const answers = await Promise.all([
      send(vault, manifest, content, whole, 70_001),
      send(vault, manifest, content, { offset: leaf, length: 3 * leaf }, 997),
      send(vault, manifest, content, whole, 1_000_000),
      send(vault, manifest, content, { offset: 5 * leaf, length: 1000 }, 1),
    ]);
    expect(answers.some((answer) => 'held' in answer)).toBe(true);
    expect(await isHeldWhole(vault)).toBe(true);
    expect(await fixture.files('.incoming')).toEqual([]);
  });

  it('that ends at the same time as another, when all has arrived, gets the same receipt', async () => {
    const [first, second] = await endTwoAtOnce(content);
    expect(first).toMatchObject({ status: 'fulfilled', value: { held: {} } });
    expect(second).toEqual(first);
    expect(await isHeldWhole(vault)).toBe(true);
    expect(await fixture.files('.incoming')).toEqual([]);
  });

  it('that ends at the same time as another is told too that what has arrived is damaged', async () => {
    const [first, second] = await endTwoAtOnce(randomBytes(content.length));
    const damaged = { status: 'rejected', reason: expect.objectContaining({ kind: 'damaged' }) };
    expect([first, second]).toEqual([damaged, damaged]);
    expect(await fixture.files('.incoming')).toEqual([]);
  });

  /** Ends two ranges at once when nothing is missing any more: what they should have brought came with a third one. */
  async function endTwoAtOnce(bytes: Buffer): Promise<PromiseSettledResult<PushAnswer>[]> {
    await vault.offer(FR2, manifest);
    const whole = { offset: 0, length: bytes.length };
    const receive = (): Promise<RangeReceiver> => vault.receive(FR2, manifest.digest, whole);
    const [first, second, third] = [await receive(), await receive(), await receive()];
    await writeAll(third, bytes, bytes.length);
    await third.abort();
    return Promise.allSettled([first.finish(), second.finish()]);
  }

  it.each([
    ['starts inside a leaf', 1, leaf - 1],
    ['ends inside a leaf', 0, leaf + 1],
    ['goes beyond the end', 5 * leaf, leaf],
    ['is beyond the end', 6 * leaf, leaf],
    ['is empty', 0, 0],
    ['has a negative start', -leaf, leaf],
    ['has a negative length', leaf, -leaf],
    ['is no number', Number.NaN, leaf],
    ['is not of whole bytes', 0, 0.5],
    ['is larger than numbers go', 0, 2 ** 53],
  ])('is refused when it %s', async (_, offset, length) => {
    await vault.offer(FR2, manifest);
    await expect(vault.receive(FR2, manifest.digest, { offset, length })).rejects.toMatchObject({ kind: 'invalid' });
  });

  it('is refused at the first byte too many, and what came before stays', async () => {
    await vault.offer(FR2, manifest);
    const receiver = await vault.receive(FR2, manifest.digest, { offset: 0, length: leaf });
    await receiver.write(content.subarray(0, leaf));
    await expect(receiver.write(content.subarray(leaf, leaf + 1))).rejects.toMatchObject({ kind: 'invalid' });
    await receiver.abort();
    expect(await missingOf(manifest)).toEqual([{ offset: leaf, length: content.length - leaf }]);
  });

  it('that ends early is still missing, but for the whole leaves that arrived', async () => {
    await vault.offer(FR2, manifest);
    const receiver = await vault.receive(FR2, manifest.digest, { offset: 0, length: content.length });
    await writeAll(receiver, content.subarray(0, 2 * leaf + 5), 50_000);
    const missing = [{ offset: 2 * leaf, length: content.length - 2 * leaf }];
    expect(await receiver.finish()).toEqual({ missing });
    await expect(receiver.write(content)).rejects.toMatchObject({ kind: 'failed' });
    expect(await missingOf(manifest)).toEqual(missing);
    await push(vault, manifest, content);
    expect(await isHeldWhole(vault)).toBe(true);
  });

  it('is refused when too many of one owner are open, and there is room again when one has ended', async () => {
    await vault.offer(FR2, manifest);
    const range = { offset: 0, length: content.length };
    const receivers = await Promise.all(Array.from({ length: 16 }, () => vault.receive(FR2, manifest.digest, range)));
    await expect(vault.receive(FR2, manifest.digest, range)).rejects.toMatchObject({ retryable: true });
    await Promise.all(receivers.map((receiver) => receiver.abort()));
    await push(vault, manifest, content);
  });
});

describe('an upload that was interrupted', () => {
  it('and had brought wrong bytes is asked for again, instead of being refused for ever', async () => {
    const vault = await fixture.open();
    const content = randomBytes(1000);
    const manifest = backupOfFR2(content);
    await vault.offer(FR2, manifest);
    const receiver = await vault.receive(FR2, manifest.digest, { offset: 0, length: 1000 });
    await receiver.write(randomBytes(1000));
    await receiver.abort();
    expect(await vault.offer(FR2, manifest)).toEqual({ missing: [{ offset: 0, length: 1000 }] });
    await push(vault, manifest, content);
    expect(await readAll(vault, manifest)).toEqual(content);
  });

  it('when all was there is asked for again when the disk could not keep it', async () => {
    const faulty = faultyDisk();
    vault = await fixture.open({ disk: faulty.disk });
    await vault.offer(FR2, manifest);
    const receiver = await vault.receive(FR2, manifest.digest, { offset: 0, length: content.length });
    await receiver.write(content);
    faulty.fail('EIO', (call) => /^handle.sync .*\.part$/.test(faulty.trace[call] ?? ''));
    await receiver.abort();
    // The system tells of a write that failed once: from here on each sync succeeds.
    faulty.fail('EIO', () => false);
    expect(await missingOf(manifest)).toEqual([{ offset: 0, length: content.length }]);
    await push(vault, manifest, content);
    expect(await isHeldWhole(vault)).toBe(true);
  });

  const arrived = { offset: 0, length: 3 * leaf };

  it('is written down for a later process once a part of it is there, and not when it came whole', async () => {
    const files = async () => (await fixture.files('.incoming')).map((file) => file.slice(file.lastIndexOf('.')));
    const small = randomBytes(4 * leaf);
    const whole = backupOfFR2(small, 2);
    await vault.offer(FR2, whole);
    expect(await files()).toEqual([]);
    const receiver = await vault.receive(FR2, whole.digest, { offset: 0, length: small.length });
    await receiver.write(small);
    await receiver.abort();
    expect(await files()).toEqual(['.part']);
    expect(await vault.offer(FR2, whole)).toHaveProperty('held');

    const [next, body] = [backupOfFR2(randomBytes(2 * leaf), 1), randomBytes(2 * leaf)];
    await vault.offer(FR2, next);
    await send(vault, next, body, { offset: 0, length: leaf });
    expect(await files()).toEqual(['.leaves', '.offer', '.part']);
  });

  it('goes on after a restart with what is missing', async () => {
    await vault.offer(FR2, manifest);
    await send(vault, manifest, content, arrived);
    vault = await fixture.open();
    expect(await missingOf(manifest)).toEqual([{ offset: 3 * leaf, length: content.length - 3 * leaf }]);
    await push(vault, manifest, content);
    expect(await isHeldWhole(vault)).toBe(true);
    expect(await fixture.files('.incoming')).toEqual([]);
  });

  it('is open after a restart only while it is read again, so that it still expires', async () => {
    await vault.offer(FR2, manifest);
    await send(vault, manifest, content, arrived);
    const faulty = faultyDisk();
    vault = await fixture.open({ disk: faulty.disk });
    expect(await missingOf(manifest)).toEqual([{ offset: 3 * leaf, length: content.length - 3 * leaf }]);
    expect([...faulty.open]).toEqual([]);
    fixture.clock.jump(8 * 86_400_000);
    await vault.tidy();
    expect(await fixture.files('.incoming')).toEqual([]);
  });

  it('takes nothing more once the disk has failed to make it durable: the disk tells that once', async () => {
    const faulty = faultyDisk();
    vault = await fixture.open({ disk: faulty.disk });
    await vault.offer(FR2, manifest);
    const [syncing, closing] = [faulty.hold(/^handle.sync .*part$/), faulty.hold(/^handle.close .*part$/)];
    const first = send(vault, manifest, content, arrived).catch((failure) => failure);
    await syncing.reached;
    syncing.letGo('EIO');
    await closing.reached;
    const rest = { offset: 3 * leaf, length: content.length - 3 * leaf };
    const failure = { kind: 'failed', message: expect.stringContaining('EIO') };
    await expect(vault.receive(FR2, manifest.digest, rest)).rejects.toMatchObject(failure);
    closing.letGo();
    expect(await first).toMatchObject(failure);
    expect(await missingOf(manifest)).toEqual([{ offset: 0, length: content.length }]);
  });

  it('is asked for again when its offer was taken back before its bytes came', async () => {
    await vault.offer(FR2, manifest);
    await vault.withdraw(manifest);
    const failure = { kind: 'not-found', retryable: true };
    await expect(send(vault, manifest, content, arrived)).rejects.toMatchObject(failure);
    expect(await missingOf(manifest)).toHaveLength(1);
  });

  it('is not lost when its offer is taken back after a restart, before it was read again', async () => {
    await vault.offer(FR2, manifest);
    await send(vault, manifest, content, arrived);
    vault = await fixture.open();
    await vault.withdraw(manifest);
    expect(await missingOf(manifest)).toEqual([{ offset: 3 * leaf, length: content.length - 3 * leaf }]);
  });

  it('is read again after a restart: a leaf that changed on the disk is missing', async () => {
    await vault.offer(FR2, manifest);
    await send(vault, manifest, content, arrived);
    const part = await open(join(fixture.data, '.incoming', `${manifest.digest.toString('hex')}.part`), 'r+');
    await part.write(Buffer.from([(content[leaf + 9] ?? 0) ^ 4]), 0, 1, leaf + 9);
    await part.close();
    vault = await fixture.open();
    expect(await missingOf(manifest)).toEqual([
      { offset: leaf, length: leaf },
      { offset: 3 * leaf, length: content.length - 3 * leaf },
    ]);
    await push(vault, manifest, content);
    expect(await isHeldWhole(vault)).toBe(true);
  });

  it.each(['part', 'leaves'])('is whole again after a power cut that took its %s', async (ending) => {
    await vault.offer(FR2, manifest);
    await send(vault, manifest, content, arrived);
    await truncate(join(fixture.data, '.incoming', `${manifest.digest.toString('hex')}.${ending}`), 0);
    vault = await fixture.open();
    expect(await missingOf(manifest)).toEqual([{ offset: 0, length: content.length }]);
    await push(vault, manifest, content);
    expect(await isHeldWhole(vault)).toBe(true);
  });

  it('is asked for from its beginning when somebody has removed its file in between', async () => {
    await vault.offer(FR2, manifest);
    await send(vault, manifest, content, arrived);
    await rm(join(fixture.data, '.incoming', `${manifest.digest.toString('hex')}.part`));
    expect(await missingOf(manifest)).toEqual([{ offset: 0, length: content.length }]);
    await push(vault, manifest, content);
    expect(await isHeldWhole(vault)).toBe(true);
    expect(await fixture.files('.incoming')).toEqual([]);
  });

  it('takes nothing more when its file was removed after it was offered again', async () => {
    await vault.offer(FR2, manifest);
    await send(vault, manifest, content, arrived);
    const [rest = arrived] = await missingOf(manifest);
    await rm(join(fixture.data, '.incoming', `${manifest.digest.toString('hex')}.part`));
    await expect(vault.receive(FR2, manifest.digest, rest)).rejects.toMatchObject({ kind: 'not-found' });
    await push(vault, manifest, content);
    expect(await isHeldWhole(vault)).toBe(true);
  });

  it('is not thrown away when too many files are open to read it again after a restart', async () => {
    await vault.offer(FR2, manifest);
    await send(vault, manifest, content, arrived);
    const faulty = faultyDisk();
    vault = await fixture.open({ disk: faulty.disk });
    faulty.fail('EMFILE', (call) => /^open .*\.part$/.test(faulty.trace[call] ?? ''));
    await expect(vault.offer(FR2, manifest)).rejects.toMatchObject({ kind: 'failed', retryable: true });
    faulty.fail('EMFILE', () => false);
    expect(await missingOf(manifest)).toEqual([{ offset: 3 * leaf, length: content.length - 3 * leaf }]);
  });

  it('is asked for from its beginning, and not refused for good, when it cannot be made durable as it is read again', async () => {
    await vault.offer(FR2, manifest);
    await send(vault, manifest, content, arrived);
    const faulty = faultyDisk();
    vault = await fixture.open({ disk: faulty.disk });
    faulty.fail('ENOSPC', (call) => /^handle.sync .*part$/.test(faulty.trace[call] ?? ''));
    await expect(vault.offer(FR2, manifest)).rejects.toMatchObject({ kind: 'no-space', retryable: true });
    faulty.fail('ENOSPC', () => false);
    expect(await missingOf(manifest)).toEqual([{ offset: 0, length: content.length }]);
  });

  it('is removed after 7 days without a byte, by a sweep or at start', async () => {
    await vault.offer(FR2, manifest);
    await send(vault, manifest, content, arrived);
    fixture.clock.jump(7 * 86_400_000 - 1);
    await vault.tidy();
    expect(await fixture.files('.incoming')).toHaveLength(3);
    fixture.clock.jump(1);
    await vault.tidy();
    expect(await fixture.files('.incoming')).toEqual([]);

    await vault.offer(FR2, manifest);
    await send(vault, manifest, content, arrived);
    const old = new Date(fixture.clock.now() - 8 * 86_400_000);
    for (const file of await fixture.files('.incoming')) await utimes(join(fixture.data, '.incoming', file), old, old);
    await fixture.open();
    expect(await fixture.files('.incoming')).toEqual([]);
  });

  it('is removed after 7 days without a byte also when it is offered every day', async () => {
    await vault.offer(FR2, manifest);
    await send(vault, manifest, content, arrived);
    for (let day = 1; day <= 7; day += 1) {
      fixture.clock.jump(86_400_000);
      expect(await missingOf(manifest)).toHaveLength(1);
      await (await vault.receive(FR2, manifest.digest, { offset: 3 * leaf, length: leaf })).abort();
    }
    await vault.tidy();
    expect(await fixture.files('.incoming')).toEqual([]);
  });

  it('leaves nothing when its offer cannot be read, and stray temporaries go too', async () => {
    await vault.offer(FR2, manifest);
    await send(vault, manifest, content, arrived);
    const [, offer = ''] = await fixture.files('.incoming');
    expect(offer).toMatch(/\.offer$/);
    await writeFile(join(fixture.data, '.incoming', offer), 'garbage');
    await writeFile(join(fixture.data, '.incoming', 'whatever.tmp'), 'garbage');
    await fixture.open();
    expect(await fixture.files('.incoming')).toEqual([]);
  });

  it('is not touched by a sweep while a draft or another upload is being written', async () => {
    const draft = await vault.draft();
    await draft.write(content);
    await vault.offer(FR2, manifest);
    await vault.tidy();
    await push(vault, manifest, content);
    await draft.commit(manifestOf(content, servers.FR1.signer).signed);
    expect(vault.list()).toHaveLength(2);
  });
});

describe('space', () => {
  it('is promised at the offer: of ten at once, as many are taken as fit', async () => {
    vault = await fixture.open({ quotaOf: () => 350_000 });
    const bodies = Array.from({ length: 10 }, () => randomBytes(100_000));
    const offers = bodies.map((body, nth) => vault.offer(FR2, backupOfFR2(body, nth)));
    const answers = await Promise.allSettled(offers);
    const refused = answers.filter(({ status }) => status === 'rejected');
    // Which of them come first is up to the disk.
    const first = answers.findIndex(({ status }) => status === 'fulfilled');
    expect(refused).toHaveLength(7);
    expect(refused[0]).toMatchObject({ reason: { kind: 'no-space', message: expect.stringContaining('48.8 KiB') } });
    const body = bodies[first] ?? Buffer.alloc(0);
    await push(vault, backupOfFR2(body, first), body);
    expect(vault.used(FR2)).toBe(100_000);
    await expect(vault.offer(FR2, backupOfFR2(randomBytes(50_001), 11))).rejects.toMatchObject({ kind: 'no-space' });
    await expect(vault.offer(FR2, backupOfFR2(randomBytes(50_000), 12))).resolves.toHaveProperty('missing');
  });

  it('counts for what the files of a tiny backup take on a disk, so that very many of them do not fit', async () => {
    const fits = 3;
    vault = await fixture.open({ quotaOf: () => fits * 16_384 });
    for (let nth = 0; nth < fits; nth += 1) await push(vault, backupOfFR2(Buffer.of(nth), nth), Buffer.of(nth));
    expect(vault.used(FR2)).toBe(fits * 16_384);
    const onDisk = await Promise.all(
      (await readdir(fixture.data, { recursive: true, withFileTypes: true }))
        .filter((found) => found.isFile())
        .map(async ({ parentPath, name }) => (await stat(join(parentPath, name))).blocks * 512),
    );
    expect(onDisk.reduce((sum, each) => sum + each, 0)).toBeLessThanOrEqual(vault.used(FR2));
    await expect(vault.offer(FR2, backupOfFR2(randomBytes(1), 9))).rejects.toMatchObject({ kind: 'no-space' });
    const reopened = await fixture.open({ quotaOf: () => fits * 16_384 });
    expect(reopened.used(FR2)).toBe(fits * 16_384);
  });

  it('is not all that is counted: of one owner without a quota, 100 backups may be unfinished', async () => {
    const tiny = (nth: number) => vault.offer(FR2, backupOfFR2(Buffer.of(nth), nth));
    for (let nth = 0; nth < 100; nth += 1) await tiny(nth);
    await expect(tiny(100)).rejects.toMatchObject({
      kind: 'failed',
      message: expect.stringContaining('FR2 has 100 unfinished backups'),
      retryable: true,
    });
    await push(vault, backupOfFR2(Buffer.of(0), 0), Buffer.of(0));
    await expect(tiny(100)).resolves.toHaveProperty('missing');
  });

  it('is not used up by offers that are refused because 100 backups are unfinished', async () => {
    vault = await fixture.open({ quotaOf: () => 102 * 16_384 });
    const tiny = (nth: number) => vault.offer(FR2, backupOfFR2(Buffer.of(nth), nth));
    for (let nth = 0; nth < 100; nth += 1) await tiny(nth);
    for (let nth = 100; nth < 110; nth += 1) await expect(tiny(nth)).rejects.toMatchObject({ kind: 'failed' });
    await push(vault, backupOfFR2(Buffer.of(0), 0), Buffer.of(0));
    await expect(tiny(100)).resolves.toHaveProperty('missing');
  });

  it('counts once for a backup that has just come in, also while its leaf hashes are being kept', async () => {
    const other = randomBytes(100_000);
    const faulty = faultyDisk();
    vault = await fixture.open({ disk: faulty.disk, quotaOf: () => content.length + other.length });
    const adopting = faulty.hold(new RegExp(`^rename ${manifest.digest.toString('hex')}$`));
    const receipt = pushInParts(vault, manifest, content);
    await adopting.reached;
    expect(await missingOf(backupOfFR2(other, 1))).toHaveLength(1);
    adopting.letGo();
    await receipt;
    await expect(vault.offer(FR2, backupOfFR2(randomBytes(1), 2))).rejects.toMatchObject({ kind: 'no-space' });
  });

  it('stays promised over a restart when some of it has arrived, and is free again when the upload has expired', async () => {
    const limits = { quotaOf: () => content.length };
    vault = await fixture.open(limits);
    await vault.offer(FR2, manifest);
    await send(vault, manifest, content, { offset: 0, length: leaf });
    vault = await fixture.open(limits);
    const other = backupOfFR2(randomBytes(1), 1);
    await expect(vault.offer(FR2, other)).rejects.toMatchObject({ kind: 'no-space' });
    fixture.clock.jump(8 * 86_400_000);
    await vault.tidy();
    expect(await missingOf(other)).toHaveLength(1);
  });

  it('is given to a newer backup by an older one of its set that was left a day ago, where both do not fit', async () => {
    vault = await fixture.open({ quotaOf: () => 1.5 * content.length });
    const nth = (sequence: number, set = 'backup', bytes = content) =>
      backupOfFR2(bytes, sequence, { sequence, set, previous: Buffer.alloc(32) });
    const left = nth(5);
    await vault.offer(FR2, left);
    await send(vault, left, content, { offset: 0, length: leaf });
    const newer = nth(6);
    const full = { kind: 'no-space', message: expect.stringContaining('the quota of FR2') };
    fixture.clock.jump(86_399_999);
    await expect(vault.offer(FR2, newer)).rejects.toMatchObject(full);
    fixture.clock.jump(1);
    await expect(vault.offer(FR2, nth(7, 'db'))).rejects.toMatchObject(full);
    await expect(vault.offer(FR2, nth(4))).rejects.toMatchObject(full);
    await expect(vault.offer(FR2, nth(8, 'backup', randomBytes(2 * content.length)))).rejects.toMatchObject(full);
    expect(await missingOf(left)).toEqual([{ offset: leaf, length: content.length - leaf }]);

    // Of two that ask at once, one gets it.
    const offers = [newer, nth(9)].map((each) => vault.offer(FR2, each));
    const answers = await Promise.allSettled(offers);
    expect(answers.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    await expect(vault.offer(FR2, left)).rejects.toMatchObject(full);
    expect(await fixture.files('.incoming')).toEqual([]);
  });

  describe('that uploads of a superseded key take', () => {
    const keys = deriveKeys(generateRecoveryKey());
    const [lost, rebuilt] = [1_700_000_000_000, 1_800_000_000_000].map((epoch) =>
      makeServerIdentity(keys, 'FR2', epoch),
    );
    if (lost === undefined || rebuilt === undefined) throw new Error('there are two');
    const of = ({ signer }: ServerIdentity, nth: number, bytes: Uint8Array) =>
      manifestOf(bytes, signer, { owner: 'FR2', createdAtMs: Date.UTC(2026, 10, 23, 1, 0, nth), set: `set${nth}` });
    const limits = { identityOf: () => rebuilt.identity, quotaOf: () => 2 * content.length };

    it.each([
      ['promised', 0],
      ['written down', leaf],
    ])('is given to the rebuilt server, where all of it was %s', async (_, length) => {
      vault = await fixture.open(limits);
      const greedy = of(lost, 1, Buffer.concat([content, content]));
      await vault.offer(FR2, greedy);
      if (length > 0) await send(vault, greedy, content, { offset: 0, length });
      if (length > 0) vault = await fixture.open(limits);
      const wanted = of(rebuilt, 2, content);
      await push(vault, wanted, content);
      expect(vault.find(wanted.facts.name)).not.toBeNull();
      expect(await fixture.files('.incoming')).toEqual([]);
      await expect(vault.offer(FR2, greedy)).rejects.toMatchObject({ kind: 'no-space' });
    });

    it('is given to the rebuilt server, where they are as many as may be unfinished', async () => {
      vault = await fixture.open({ identityOf: limits.identityOf });
      const tiny = (server: ServerIdentity, nth: number) => vault.offer(FR2, of(server, nth, Buffer.of(nth)));
      for (let nth = 0; nth < 100; nth += 1) await tiny(lost, nth);
      await expect(tiny(lost, 100)).rejects.toMatchObject({ kind: 'failed' });
      for (let nth = 200; nth < 300; nth += 1) expect(await tiny(rebuilt, nth)).toHaveProperty('missing');
      await expect(tiny(rebuilt, 300)).rejects.toMatchObject({ kind: 'failed' });
      await expect(tiny(lost, 100)).rejects.toMatchObject({ kind: 'failed' });
    });

    it('stays theirs while some of it is on its way', async () => {
      vault = await fixture.open(limits);
      const large = Buffer.concat([content, content]);
      const arriving = of(lost, 1, large);
      await vault.offer(FR2, arriving);
      const receiver = await vault.receive(FR2, arriving.digest, { offset: 0, length: large.length });
      await expect(vault.offer(FR2, of(rebuilt, 2, content))).rejects.toMatchObject({ kind: 'no-space' });
      await writeAll(receiver, large, leaf);
      expect(await receiver.finish()).toHaveProperty('held');
    });
  });

  it('is given by nothing that was left where the disk has none for a newer backup', async () => {
    let bavail = 1e9;
    const disk = { ...realDisk, statfs: async () => ({ bavail, bsize: 1 }) } as unknown as Disk;
    vault = await fixture.open({ disk, quotaOf: () => 1.5 * content.length });
    const [left, newer] = [5, 6].map((sequence) =>
      backupOfFR2(content, sequence, { sequence, previous: Buffer.alloc(32) }),
    );
    if (left === undefined || newer === undefined) throw new Error('there are two');
    await vault.offer(FR2, left);
    await send(vault, left, content, { offset: 0, length: leaf });
    fixture.clock.jump(2 * 86_400_000);
    bavail = 0;
    await expect(vault.offer(FR2, newer)).rejects.toMatchObject({ kind: 'no-space' });
    bavail = 1e9;
    expect(await missingOf(left)).toEqual([{ offset: leaf, length: content.length - leaf }]);
  });

  it('is held back after a restart only for what an upload still has to bring', async () => {
    const limits = (free: number) => {
      const statfs = async () => ({ bavail: free, bsize: 1 });
      return { disk: { ...realDisk, statfs } as unknown as typeof realDisk };
    };
    await vault.offer(FR2, manifest);
    await send(vault, manifest, content, { offset: 0, length: 4 * leaf });
    const expected = content.length - 4 * leaf;
    vault = await fixture.open(limits(expected + 100_000));
    expect(await missingOf(backupOfFR2(randomBytes(100_000), 1))).toHaveLength(1);
    // What is found of it when it goes on was counted already.
    expect(await missingOf(manifest)).toEqual([{ offset: 4 * leaf, length: expected }]);
    await expect(vault.offer(FR2, backupOfFR2(randomBytes(1), 2))).rejects.toMatchObject({ kind: 'no-space' });
  });

  it('is held back only for what an upload still has to bring, for as long as some of it comes', async () => {
    let free = content.length + 100_000;
    const statfs = async () => ({ bavail: free, bsize: 1 });
    vault = await fixture.open({ disk: { ...realDisk, statfs } as unknown as typeof realDisk });
    await vault.offer(FR2, manifest);
    for (let nth = 0; nth < 4; nth += 1) {
      await fixture.clock.advance(1_800_000);
      await send(vault, manifest, content, { offset: nth * leaf, length: leaf });
      free -= leaf;
    }
    await expect(vault.offer(FR2, backupOfFR2(randomBytes(100_001), 1))).rejects.toMatchObject({ kind: 'no-space' });
    expect(await missingOf(backupOfFR2(randomBytes(100_000), 2))).toHaveLength(1);
  });

  it('is not held back from others for an upload that was broken off an hour ago', async () => {
    const bodies = [randomBytes(1_000_000), randomBytes(1_000_000)] as const;
    const [broken, other] = [backupOfFR2(bodies[0], 1), backupOfFR2(bodies[1], 2)];
    const free = await vault.free();
    const floor = free - 1_500_000;
    let taken = 0;
    const disk = {
      ...realDisk,
      statfs: async () => ({ bavail: free - taken, bsize: 1 }),
    } as unknown as typeof realDisk;
    vault = await fixture.open({ minimumFree: () => floor, disk });
    await vault.offer(FR2, broken);
    await expect(vault.offer(FR2, other)).rejects.toMatchObject({ kind: 'no-space' });

    await fixture.clock.advance(3_600_001);
    await push(vault, other, bodies[1]);
    taken = bodies[1].length;
    await expect(vault.offer(FR2, broken)).rejects.toMatchObject({ kind: 'no-space', retryable: true });
    taken = 0;
    await push(vault, broken, bodies[0]);
    expect(vault.list()).toHaveLength(2);
  });

  it('is limited by the disk: some of it always stays free, as much as the configuration says now', async () => {
    const free = await vault.free();
    let floor = free - content.length / 2;
    vault = await fixture.open({ minimumFree: () => floor });
    await expect(vault.offer(FR2, manifest)).rejects.toMatchObject({ kind: 'no-space', retryable: true });
    expect(await fixture.files('.incoming')).toEqual([]);
    floor = 0;
    expect(await vault.offer(FR2, manifest)).toHaveProperty('missing');
  });
});

describe('an own backup', () => {
  const own = manifestOf(content, servers.FR1.signer);

  it('is kept in local/, and its digest is known before the manifest is signed', async () => {
    const draft = await vault.draft();
    for (let at = 0; at < content.length; at += 7001) await draft.write(content.subarray(at, at + 7001));
    const { size, sha256, treeRoot } = own.facts;
    expect(draft.digest()).toEqual({ size, sha256, treeRoot });
    const entry = await draft.commit(own.signed);
    expect(entry).toMatchObject({ owner: 'FR1', own: true, receivedAt: null });
    expect(await fixture.files('local')).toEqual([own.facts.name, `${own.facts.name}.manifest`]);
    expect((await fixture.open()).find(own.facts.name)).toEqual(entry);
    expect(await fixture.files('.incoming')).toEqual([]);
  });

  it('leaves nothing when it is discarded, or its manifest is about other bytes, or its name is taken', async () => {
    const discarded = await vault.draft();
    await discarded.write(content);
    await discarded.discard();
    await expect(makeOwn(randomBytes(10), own)).rejects.toMatchObject({ kind: 'damaged' });
    await makeOwn(content, own);
    await expect(makeOwn(content, own)).rejects.toMatchObject({ kind: 'conflict' });
    expect(await fixture.files('.incoming')).toEqual([]);
  });

  it('that is discarded and cannot be removed is told, and removed by the next start, not while it may be in use', async () => {
    const unlink: Disk['unlink'] = async () => {
      throw Object.assign(new Error('the disk says no'), { code: 'EROFS' });
    };
    const warn = vi.fn();
    const failing = await fixture.open({ disk: { ...realDisk, unlink }, log: { ...silent, warn } });
    const draft = await failing.draft();
    await draft.write(content);
    await draft.discard();
    const [file = ''] = await fixture.files('.incoming');
    const path = join(fixture.data, '.incoming', file);
    expect(warn.mock.calls).toContainEqual(['file cannot be removed', { file: path, reason: 'the disk says no' }]);
    await vault.tidy();
    expect(await fixture.files('.incoming')).toContain(file);
    await fixture.open();
    expect(await fixture.files('.incoming')).toEqual([]);
  });

  it('is not begun where its folder is a link, or on another disk than what is begun', async () => {
    const elsewhere = await fixture.open({ disk: withMount('local') });
    await expect(elsewhere.draft()).rejects.toMatchObject({ message: expect.stringContaining('another file system') });
    await rm(join(fixture.data, 'local'), { recursive: true });
    await symlink('.quarantine', join(fixture.data, 'local'));
    await expect(vault.draft()).rejects.toMatchObject({
      message: expect.stringMatching(`${fixture.data}/local is a link`),
    });
    expect(await fixture.files('.incoming')).toEqual([]);
  });

  it('is not made of a manifest that another signed', async () => {
    await expect(makeOwn(content, manifest)).rejects.toMatchObject({ kind: 'untrusted' });
  });
});

describe('reading', () => {
  beforeEach(() => push(vault, manifest, content));

  it('gives any range', async () => {
    for (const [offset, length] of [
      [0, 0],
      [0, 1],
      [leaf - 1, 2],
      [content.length - 1, 1],
      [content.length, 0],
    ] as const) {
      expect((await buffer(vault.read(name, offset, length))).equals(content.subarray(offset, offset + length))).toBe(
        true,
      );
    }
  });

  it('refuses what is not there', () => {
    expect(() => vault.read(name, 0, content.length + 1)).toThrow(expect.objectContaining({ kind: 'invalid' }));
    expect(() => vault.read(name, -1, 1)).toThrow(expect.objectContaining({ kind: 'invalid' }));
    expect(() => vault.read('../FR2', 0, 1)).toThrow(expect.objectContaining({ kind: 'not-found' }));
  });

  it('closes its file when the reader leaves early', async () => {
    const faulty = faultyDisk();
    vault = await fixture.open({ disk: faulty.disk });
    for await (const chunk of vault.read(name, 0, content.length)) if (chunk.length > 0) break;
    expect([...faulty.open]).toEqual([]);
  });

  it('that is just being removed is not there any more, and not damaged', async () => {
    let reading: Promise<unknown> = Promise.resolve();
    let notFound = (): void => {};
    const open: Disk['open'] = (...how) => realDisk.open(...how).finally(notFound);
    // As with a large file, of which the name goes long before the call ends.
    const unlink: Disk['unlink'] = async (path) => {
      await realDisk.unlink(path);
      if (!String(path).endsWith('.enc')) return;
      const looked = new Promise<void>((resolve) => {
        notFound = resolve;
      });
      reading = readAll(vault, manifest).catch((thrown: unknown) => thrown);
      await looked;
    };
    vault = await fixture.open({ disk: { ...realDisk, open, unlink } });
    await vault.remove(name);
    expect(await reading).toMatchObject({ kind: 'not-found' });
    expect(vault.damaged(FR2)).toEqual([]);
  });

  it.each([
    ['was cut off', () => truncate(join(fixture.data, 'FR2', name), 100)],
    ['vanished', () => rm(join(fixture.data, 'FR2', name))],
  ])('a file that %s is damaged, and no backup any more', async (_, harm) => {
    await harm();
    await expect(readAll(vault, manifest)).rejects.toMatchObject({ kind: 'damaged' });
    expect(vault.find(name)).toBeNull();
    expect(vault.used(FR2)).toBe(0);
    expect(vault.findings()).toEqual([expect.stringContaining('quarantine')]);
    expect(await fixture.files('FR2')).toEqual([]);
    await push(vault, manifest, content);
    expect(await isHeldWhole(vault)).toBe(true);
  });
});

describe('what is on the disk', () => {
  it('is told at once as what cannot be opened where no folder can be made', async () => {
    const opening = fixture.open({ data: '/proc/anemone/data' });
    await expect(opening).rejects.toMatchObject({
      kind: 'failed',
      message: expect.stringMatching(/^the vault in \/proc\/anemone\/data cannot be opened: .*'\/proc\/anemone'$/),
    });
  });

  it.skipIf(process.getuid?.() !== 0)(
    'of another user, such as root, is told with the command that gives it back',
    async () => {
      await chown(fixture.data, 1234, 1234);
      process.seteuid?.(1234);
      const opening = fixture.open().finally(() => process.seteuid?.(0));
      await expect(opening).rejects.toMatchObject({
        message: expect.stringContaining('EACCES'),
        hint: expect.stringContaining(
          `belongs to uid 0. Run this as that user (in Docker: ANEMONE_UID, docs/deploy.md), or give it to this user, with \`chown -R 1234:0 ${fixture.data}\``,
        ),
      });
    },
  );

  it('is removed data first, so that a crash never leaves what looks like a backup', async () => {
    await push(vault, manifest, content);
    const faulty = faultyDisk();
    vault = await fixture.open({ disk: faulty.disk });
    const start = faulty.calls.length;
    faulty.fail('EIO', (call) => call > start + 1);
    await expect(vault.remove(name)).rejects.toMatchObject({ kind: 'failed' });
    expect(await fixture.files('FR2')).toEqual([`${name}.manifest`]);
    expect((await fixture.open()).find(name)).toBeNull();
  });

  it('is still held when its data cannot be removed, and leaves no second name behind', async () => {
    await push(vault, manifest, content);
    const faulty = faultyDisk();
    vault = await fixture.open({ disk: faulty.disk });
    faulty.fail('EIO', (call) => faulty.trace[call] === `unlink ${name}`);
    await expect(vault.remove(name)).rejects.toMatchObject({ kind: 'failed' });
    expect(await fixture.files('.incoming')).toEqual([]);
    expect(await isHeldWhole(vault)).toBe(true);
  });

  it('is removed also from a disk without room for one more name', async () => {
    await push(vault, manifest, content);
    const faulty = faultyDisk();
    vault = await fixture.open({ disk: faulty.disk });
    faulty.fail('ENOSPC', (call) => faulty.calls[call] === 'link');
    await vault.remove(name);
    vault = await fixture.open();
    expect(await fixture.files('FR2')).toEqual([]);
    expect(vault.findings()).toEqual([]);
    expect(vault.damaged(FR2)).toEqual([]);
  });

  it('is not missed by a start when its data was removed, and its manifest could not be', async () => {
    await push(vault, manifest, content);
    const faulty = faultyDisk();
    vault = await fixture.open({ disk: faulty.disk });
    faulty.fail('EIO', (call) => faulty.trace[call] === `unlink ${name}.manifest`);
    await expect(vault.remove(name)).rejects.toMatchObject({ kind: 'failed' });
    await vault.tidy();
    expect((await fixture.open()).damaged(FR2)).toEqual([]);
    expect(await fixture.files('FR2')).toEqual([]);
  });

  it('is told, and not missed by a later start, when a start cannot remove what a removal left', async () => {
    await push(vault, manifest, content);
    const faulty = faultyDisk();
    const log = watchEvents();
    faulty.fail('EIO', (call) => faulty.trace[call] === `unlink ${name}.manifest`);
    await expect((await fixture.open({ disk: faulty.disk })).remove(name)).rejects.toMatchObject({ kind: 'failed' });
    vault = await fixture.open({ disk: faulty.disk, log });
    const file = join(fixture.data, 'FR2', `${name}.manifest`);
    expect(log.all).toContainEqual(
      expect.objectContaining({
        event: 'file cannot be removed',
        fields: { file, reason: expect.stringContaining('EIO') },
      }),
    );
    expect(vault.findings()).toEqual([expect.stringContaining(file)]);
    await vault.tidy();
    vault = await fixture.open();
    expect(vault.damaged(FR2)).toEqual([]);
    expect(vault.findings()).toEqual([]);
    expect([await fixture.files('FR2'), await fixture.files('.incoming')]).toEqual([[], []]);
  });

  it('is listed newest first, by owner and by set', async () => {
    await makeOwn(content, manifestOf(content, servers.FR1.signer));
    const bodies = [randomBytes(10), randomBytes(10), randomBytes(10)];
    const sets = ['backup', 'db', 'backup'];
    for (const [nth, body] of bodies.entries()) {
      await push(vault, backupOfFR2(body, 10 + nth, { set: sets[nth] ?? '' }), body);
    }
    const times = vault.list().map(({ createdAt }) => createdAt);
    expect(times).toEqual([...times].sort().reverse());
    expect(vault.list({ owner: FR2 })).toHaveLength(3);
    expect(vault.list({ owner: FR2, set: 'backup' })).toHaveLength(2);
    expect((await fixture.open()).list()).toEqual(vault.list());
  });

  it('is left alone and reported where it is not ours, and never shown as a backup', async () => {
    await push(vault, manifest, content);
    const folder = join(fixture.data, 'FR2');
    const [second, third, fourth] = [1, 2, 3].map((nth) => backupOfFR2(content, nth).facts.name);
    await writeFile(join(folder, 'notes.txt'), 'hello');
    await writeFile(join(folder, `${second}`), content);
    await writeFile(join(folder, `${third}.manifest`), 'hello');
    await symlink(join(folder, name), join(folder, `${fourth}`));
    await writeFile(join(folder, `${fourth}.manifest`), await readFile(join(folder, `${name}.manifest`)));
    await writeFile(join(fixture.data, 'stray'), 'hello');
    await mkdir(join(fixture.data, 'not a host'));
    await mkdir(join(fixture.data, 'FR1'));
    const reopened = await fixture.open();
    expect(reopened.list().map((entry) => entry.name)).toEqual([name]);
    const about = reopened.findings().map((finding) => finding.slice(fixture.data.length + 1).split(':')[0]);
    expect(about).toEqual(
      ['FR1', `FR2/${second}`, `FR2/${third}.manifest`, `FR2/${fourth}`, 'FR2/notes.txt', 'not a host', 'stray'].sort(),
    );
    expect(await fixture.files('FR2')).toContain('notes.txt');
  });

  it('is told in one line for all of another server, as where this one had another name before', async () => {
    const [one, two] = [1, 2].map((nth) => backupOfFR2(content, nth).facts.name);
    const local = join(fixture.data, 'local');
    await mkdir(local, { recursive: true });
    const files = [`${one}`, `${one}.manifest`, `${two}`, `${two}.manifest`, `${one}`.replace('FR2', 'FR3')];
    for (const file of files) await writeFile(join(local, file), 'hello');
    expect((await fixture.open()).findings()).toEqual([
      `${local}/anemone-<SET>-FR2-<TIME>.enc: 2 backups of FR2, not of FR1; they are left alone`,
      `${local}/anemone-<SET>-FR3-<TIME>.enc: 1 backup of FR3, not of FR1; it is left alone`,
    ]);
    expect(await fixture.files('local')).toEqual(files.sort());
  });

  it.each([
    ['a manifest with a flipped bit', `${name}.manifest`, (bytes: Buffer) => flipped(bytes, 80)],
    ['an empty manifest', `${name}.manifest`, () => Buffer.alloc(0)],
    ['a manifest of a megabyte', `${name}.manifest`, () => Buffer.alloc(2 ** 20)],
    ['a backup that is too short', name, (bytes: Buffer) => bytes.subarray(1)],
  ])('is reported and not shown when there is %s', async (_, file, harm) => {
    await push(vault, manifest, content);
    const path = join(fixture.data, 'FR2', file);
    await writeFile(path, harm(await readFile(path)));
    const reopened = await fixture.open();
    expect(reopened.find(name)).toBeNull();
    expect(reopened.findings()).toEqual([expect.stringContaining('was put into quarantine: ')]);
    expect(await fixture.files('FR2')).toEqual([]);
    expect(reopened.used(FR2)).toBe(0);
    // Its owner is told, and what it sends again takes the place.
    expect(reopened.damaged(FR2)).toEqual([name]);
    fixture.clock.jump(60_000);
    await push(reopened, manifest, content);
    expect(await isHeldWhole(reopened)).toBe(true);
    expect(reopened.damaged(FR2)).toEqual([]);
    expect(await fixture.files('.quarantine')).toHaveLength(2);
    expect((await fixture.open()).find(name)).toEqual(reopened.find(name));
  });

  it.each<[string, (path: string) => unknown]>([
    ['a pipe', (path) => execFileSync('mkfifo', [path])],
    ['a link to it', (path) => symlink(join(fixture.data, 'moved'), path)],
  ])('is not held, and holds up no start, when there is %s in the place of its manifest', async (_, put) => {
    await push(vault, manifest, content);
    const path = join(fixture.data, 'FR2', `${name}.manifest`);
    await rename(path, join(fixture.data, 'moved'));
    await put(path);
    let waits = false;
    const openSync: typeof realDisk.openSync = (file, flags, mode) => {
      // Who waits here for a pipe that nobody writes to would stop this process.
      waits ||= (Number(flags) & constants.O_NONBLOCK) === 0;
      return realDisk.openSync(file, Number(flags) | constants.O_NONBLOCK, mode);
    };
    const reopened = await fixture.open({ disk: { ...realDisk, openSync } });
    expect(waits).toBe(false);
    expect(reopened.find(name)).toBeNull();
    expect(reopened.findings()).toContainEqual(expect.stringContaining(`${path}: is not a manifest to rely on`));
  });

  it('is in quarantine once a flipped bit in the signature was found: by who asks for it, or by the sweep', async () => {
    const path = join(fixture.data, 'FR2', `${name}.manifest`);
    for (const find of [(opened: Vault) => opened.held(name).catch(() => {}), (opened: Vault) => opened.prove()]) {
      await push(vault, manifest, content);
      await flipBit(path, (await readFile(path)).indexOf(manifest.signed.signature));
      vault = await fixture.open();
      expect(vault.find(name)).not.toBeNull();
      await find(vault);
      expect(vault.find(name)).toBeNull();
      expect(vault.damaged(FR2)).toEqual([name]);
      expect(vault.findings()).toContainEqual(expect.stringContaining('was put into quarantine: '));
      expect(await fixture.files('FR2')).toEqual([]);
      fixture.clock.jump(60_000);
    }
  });

  it.each([
    ['its manifest is that of another of its name', another.signed],
    ['its receipt is for another', manifest.signed],
  ])('goes to quarantine when %s', async (_, signed) => {
    await push(vault, manifest, content);
    const receipt = signReceipt({ manifestDigest: another.digest, receivedAt: 1 }, servers.FR1.signer);
    const bytes = HeldBackup.encode({ manifest: signed, receipt }).finish();
    await writeFile(join(fixture.data, 'FR2', `${name}.manifest`), bytes);
    await expect(vault.held(name)).rejects.toMatchObject({ kind: 'damaged' });
    expect(vault.damaged(FR2)).toEqual([name]);
  });

  it('is proven again when its manifest on the disk has changed since', async () => {
    await push(vault, manifest, content);
    await vault.held(name);
    const path = join(fixture.data, 'FR2', `${name}.manifest`);
    await flipBit(path, (await readFile(path)).indexOf(manifest.signed.signature));
    await expect(vault.held(name)).rejects.toMatchObject({ kind: 'damaged' });
  });

  it('is proven once for who shows it in brief, and again when its owner has another identity', async () => {
    const known = { FR2: identityOf(FR2) };
    vault = await fixture.open({ identityOf: (host) => (host === FR2 ? known.FR2 : identityOf(host)) });
    await push(vault, manifest, content);
    await vault.proven(name);
    const path = join(fixture.data, 'FR2', `${name}.manifest`);
    const bytes = await readFile(path);
    await rm(path);
    await vault.proven(name);
    await writeFile(path, bytes);
    known.FR2 = servers.US1.identity;
    await expect(vault.proven(name)).rejects.toMatchObject({ kind: 'untrusted' });
    expect(vault.find(name)).not.toBeNull();
  });

  it('is shown but not called verified when its owner is no peer any more', async () => {
    await push(vault, manifest, content);
    const reopened = await fixture.open({ identityOf: (host) => (host === FR2 ? null : identityOf(host)) });
    expect(reopened.find(name)).toMatchObject({ identity: null });
    expect(await isHeldWhole(reopened)).toBe(true);
  });

  it('is not damaged when its owner has another identity by now, and all of one identity are told in one line', async () => {
    const newer = throwawayServer('FR2');
    let known = servers.FR2.identity;
    const open = () => fixture.open({ identityOf: (host) => (host === FR2 ? known : identityOf(host)) });
    vault = await open();
    const later = backupOfFR2(content, 1);
    for (const each of [manifest, later]) await push(vault, each, content);
    const told = () => {
      expect(vault.findings()).toEqual([
        expect.stringContaining(`FR2: 2 backups of another identity than FR2 has now, ${servers.FR2.identity}`),
      ]);
      expect(vault.damaged(FR2)).toEqual([]);
    };
    known = newer.identity;
    await vault.prove();
    told();
    // As where a person had mistyped it.
    known = servers.FR2.identity;
    expect(vault.findings()).toEqual([]);
    expect(await isHeldWhole(vault)).toBe(true);

    known = newer.identity;
    vault = await open();
    told();
    const ofNewer = manifestOf(content, newer.signer, { owner: 'FR2', createdAtMs: fixture.clock.now() });
    await push(vault, ofNewer, content);
    const command = vault.findings()[0]?.split(' and then: ')[1] ?? 'false';
    execFileSync('sh', ['-c', command]);
    vault = await open();
    expect(vault.findings()).toEqual([]);
    expect(await fixture.files('FR2')).toEqual([ofNewer.facts.name, `${ofNewer.facts.name}.manifest`]);
    expect((await readAll(vault, ofNewer)).equals(content)).toBe(true);
  });

  it('leaves in quarantine what is told as missed, held again, or removed by the rules, and how that ends', async () => {
    const away = join(fixture.data, '.quarantine', `${fixture.clock.now()}-${name}`);
    const told = async (...lines: string[]) => {
      const wanted = lines.map((line) => expect.stringContaining(line));
      expect(vault.findings()).toEqual(wanted);
      vault = await fixture.open();
      expect(vault.findings()).toEqual(wanted);
    };
    await push(vault, manifest, content);
    await damage(vault, name);
    await told(`${away}: was put into quarantine`);
    await push(vault, manifest, content);
    await told(
      `it is held again: when you have looked at the disk, remove this copy (rm ${away}*) and restart the node`,
    );
    await vault.remove(name);
    await told(`${away}.settled: was put into quarantine; it is not missed any more`);
    expect(vault.findings()).toEqual([expect.stringContaining(`(rm ${away}*)`)]);
    for (const file of await fixture.files('.quarantine')) await rm(join(fixture.data, '.quarantine', file));
    vault = await fixture.open();
    expect(vault.findings()).toEqual([]);
  });

  it('whose manifest alone is left is told in the same way', async () => {
    const away = join(fixture.data, '.quarantine', `${fixture.clock.now()}-${name}`);
    await push(vault, manifest, content);
    await rm(join(fixture.data, 'FR2', name));
    vault = await fixture.open();
    await push(vault, manifest, content);
    vault = await fixture.open();
    expect(vault.findings()).toEqual([expect.stringMatching(/\.manifest: .*held again: .*\(rm .*\*\)/)]);
    await vault.remove(name);
    expect(vault.findings()).toEqual([expect.stringContaining(`${away}.manifest.settled: was put into quarantine`)]);
  });

  it('goes to quarantine with its manifest and is reported after a restart', async () => {
    await push(vault, manifest, content);
    await damage(vault, name);
    expect(vault.find(name)).toBeNull();
    expect(vault.findings()).toEqual([expect.stringContaining('are not those of its manifest')]);
    expect(await fixture.files('.quarantine')).toHaveLength(2);
    expect((await fixture.open()).findings()).toEqual([expect.stringContaining('was put into quarantine')]);
    await expect(vault.remove(name)).rejects.toMatchObject({ kind: 'not-found' });
  });
});
