import { randomBytes } from 'node:crypto';
import { open, readFile, rm, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { leafHash, leafSize } from '../../../src/mesh/manifest/digest-tree.js';
import type { VerifiedManifest } from '../../../src/mesh/manifest/manifest.js';
import { Failure } from '../../../src/mesh/terms/failure.js';
import type { AuditedPeer } from '../../../src/node/audit/audited-peer.js';
import { heal } from '../../../src/node/audit/heal.js';
import type { Vault } from '../../../src/node/vault/vault.js';
import { silent, watchEvents } from '../../support/events.js';
import { flipBit } from '../../support/flip-bit.js';
import { manifestOf } from '../../support/manifests.js';
import { keepOwn } from '../vault/failing-disk.js';
import { faultyDisk } from '../vault/faulty-disk.js';
import { backupOfFR2, FR1, FR2, push, send, servers, US1, type VaultFixture } from '../vault/fixture.js';
import { temporaryVault } from '../vault/temporary-vault.js';

const content = randomBytes(200_000);
const manifest = backupOfFR2(content);
const { name } = manifest.facts;
const never = new AbortController().signal;
const day = 86_400_000;

let fixture: VaultFixture;
let vault: Vault;
/** When it was put into quarantine. */
let firstDamage: number;
beforeEach(async () => {
  fixture = await temporaryVault();
  vault = await fixture.open();
  await push(vault, manifest, content);
  const file = await open(join(fixture.data, 'FR2', name), 'r+');
  await file.write(randomBytes(10), 0, 10, 70_000);
  await file.close();
  firstDamage = fixture.clock.now();
  await expect(vault.examine(name)).rejects.toMatchObject({ kind: 'damaged' });
});
/** What a peer sends for a range of the backup. */
type Sends = (offset: number, length: number) => Uint8Array;
const honest: Sends = (offset, length) => content.subarray(offset, offset + length);

function peerThat(sends: Sends | null, host = US1, of = manifest): AuditedPeer & { asked: number } {
  const unasked = (): never => {
    throw new Error('nobody should ask for this');
  };
  return {
    asked: 0,
    name: host,
    identity: servers[host as 'US1'].identity,
    standing: unasked,
    list: unasked,
    prove: unasked,
    async *fetch({ digest }, { offset, length }) {
      this.asked += 1;
      if (sends === null) throw new Error('it is not held here');
      expect(digest).toEqual(of.digest);
      yield sends(offset, length);
    },
    async *leaves() {
      if (sends === null) throw new Error('it is not held here');
      for (let at = 0; at < content.length; at += leafSize) yield leafHash(content.subarray(at, at + leafSize));
    },
  };
}

/** All that is healed. */
async function all(...what: Parameters<typeof heal>): Promise<string[]> {
  const names: string[] = [];
  for await (const name of heal(...what)) names.push(name);
  return names;
}

const owner = peerThat(null, FR2);
/** As in a node, the peers are objects made anew for each who asks for them. */
const healWith = (...peers: AuditedPeer[]) => {
  const anew = (peer: AuditedPeer): AuditedPeer => ({ ...peer, fetch: (...asked) => peer.fetch(...asked) });
  const parts = { vault, host: FR1, clock: fixture.clock, log: silent, owners: () => [owner] };
  return all({ ...parts, peers: () => [owner, ...peers].map(anew) }, never);
};

describe('a backup that was damaged here', () => {
  it('is left to its owner for a day and a half, and then taken from another peer', async () => {
    const peer = peerThat(honest);
    fixture.clock.jump(day);
    expect(await healWith(peer)).toEqual([]);
    expect(peer.asked).toBe(0);
    fixture.clock.jump(day);
    expect(await healWith(peer)).toEqual([name]);
    expect(owner.asked).toBe(0);
    expect((await readFile(join(fixture.data, 'FR2', name))).equals(content)).toBe(true);
    expect(vault.damaged(FR2)).toEqual([]);
    expect(await healWith(peer)).toEqual([]);
  });

  it('is taken from another peer where a clock that was ahead says that it is yet to be damaged', async () => {
    fixture.clock.jump(-365 * day);
    expect(await healWith(peerThat(honest))).toEqual([name]);
  });

  it('is taken from another peer also where its owner is disabled, because it burned down', async () => {
    fixture.clock.jump(2 * day);
    const parts = { vault, host: FR1, clock: fixture.clock, log: silent, owners: () => [owner] };
    expect(await all({ ...parts, peers: () => [peerThat(honest)] }, never)).toEqual([name]);
  });

  it('is left alone when a person has removed what was put aside', async () => {
    await rm(join(fixture.data, '.quarantine'), { recursive: true });
    fixture.clock.jump(2 * day);
    expect(await healWith(peerThat(honest))).toEqual([]);
  });

  it.each<[string, Sends | null]>([
    ['sends other bytes', (_, length) => randomBytes(length)],
    ['sends too few', () => content.subarray(0, 1000)],
    ['sends too many', (_, length) => Buffer.concat([content, content]).subarray(0, length + 1)],
    ['does not hold it', null],
  ])('is not taken from a peer that %s, but from the next', async (_, sends) => {
    fixture.clock.jump(2 * day);
    expect(await healWith(peerThat(sends))).toEqual([]);
    expect(vault.find(name)).toBeNull();
    expect(await healWith(peerThat(sends), peerThat(honest))).toEqual([name]);
    expect((await readFile(join(fixture.data, 'FR2', name))).equals(content)).toBe(true);
  });

  it('is not taken from a peer that makes up hashes which fit its bytes, but from the next', async () => {
    fixture.clock.jump(2 * day);
    const zeros = Buffer.alloc(content.length);
    const liar: AuditedPeer = {
      ...peerThat((offset, length) => zeros.subarray(offset, offset + length)),
      async *leaves() {
        for (let at = 0; at < zeros.length; at += leafSize) yield leafHash(zeros.subarray(at, at + leafSize));
      },
    };
    expect(await healWith(liar)).toEqual([]);
    expect(await fixture.files('.incoming')).toEqual([]);
    expect(await healWith(liar, peerThat(honest))).toEqual([name]);
  });

  it('is not asked for when its manifest is damaged too: nothing is taken that its owner did not sign', async () => {
    fixture.clock.jump(2 * day);
    const [sidecar = ''] = (await fixture.files('.quarantine')).filter((file) => file.endsWith('.manifest'));
    await flipBit(join(fixture.data, '.quarantine', sidecar), 60);
    const peer = peerThat(honest);
    expect(await healWith(peer)).toEqual([]);
    expect(peer.asked).toBe(0);
  });

  it.each<[string, Sends | null]>([
    ['does not hold it', null],
    ['sends not one leaf of it', () => content.subarray(0, 1000)],
  ])('takes no room from new backups of its owner because a peer %s', async (_, sends) => {
    vault = await fixture.open({ quotaOf: () => 300_000 });
    fixture.clock.jump(2 * day);
    expect(await healWith(peerThat(sends))).toEqual([]);
    const large = randomBytes(300_000);
    await push(vault, backupOfFR2(large, 1), large);
  });

  it.each<[string, (path: string) => Promise<void>]>([
    ['cut off', (path) => truncate(path, 1000)],
    ['gone', (path) => rm(path)],
  ])('is taken from another peer also where it was a start that found its file %s', async (_, harm) => {
    fixture.clock.jump(day);
    await push(vault, manifest, content);
    await harm(join(fixture.data, 'FR2', name));
    vault = await fixture.open();
    expect(vault.damaged(FR2)).toEqual([name]);
    expect(await fixture.files('FR2')).toEqual([]);
    // A day after, and at another start, it still is its owner's turn.
    fixture.clock.jump(day);
    vault = await fixture.open();
    await rm(join(fixture.data, '.quarantine', `${firstDamage}-${name}.manifest`));
    const peer = peerThat(honest);
    expect(await healWith(peer)).toEqual([]);
    fixture.clock.jump(day);
    expect(await healWith(peer)).toEqual([name]);
    expect((await readFile(join(fixture.data, 'FR2', name))).equals(content)).toBe(true);
  });

  it('goes on the next night where a peer broke off', async () => {
    fixture.clock.jump(2 * day);
    expect(await healWith(peerThat(() => content.subarray(0, 2 * leafSize)))).toEqual([]);
    const asked: number[] = [];
    const rest = peerThat((offset, length) => {
      asked.push(offset);
      return honest(offset, length);
    });
    expect(await healWith(rest)).toEqual([name]);
    expect(asked).toEqual([2 * leafSize]);
  });

  /** Sends one leaf, a wrong one, and breaks off. */
  const poisoner = () => peerThat(() => randomBytes(leafSize));

  it('is taken in the same night although those asked before sent wrong leaves and broke off, and only they are blamed', async () => {
    fixture.clock.jump(2 * day);
    const log = watchEvents();
    const peers = () => [poisoner(), poisoner(), peerThat(honest)];
    expect(await all({ vault, host: FR1, clock: fixture.clock, log, owners: () => [owner], peers }, never)).toEqual([
      name,
    ]);
    const notHealed = expect.objectContaining({ event: 'backup not healed' });
    expect(log.all).toEqual([notHealed, notHealed, expect.objectContaining({ event: 'backup healed' })]);
    expect((await readFile(join(fixture.data, 'FR2', name))).equals(content)).toBe(true);
  });

  it.each([
    ['in the same process', false],
    ['after a restart', true],
  ])('is taken from its owner %s, although a peer sent wrong leaves before', async (_, restarts) => {
    fixture.clock.jump(2 * day);
    expect(await healWith(poisoner())).toEqual([]);
    if (restarts) vault = await fixture.open();
    await push(vault, manifest, content);
    expect((await readFile(join(fixture.data, 'FR2', name))).equals(content)).toBe(true);
  });

  it('is taken anew where what its owner had begun to send is damaged here', async () => {
    fixture.clock.jump(2 * day);
    await vault.offer(FR2, manifest);
    await send(vault, manifest, randomBytes(content.length), { offset: 0, length: leafSize });
    expect(await healWith(peerThat(honest))).toEqual([]);
    expect(await healWith(peerThat(honest))).toEqual([name]);
  });

  it('is asked of no other peer where it is this server that fails: each would send all of it in vain', async () => {
    fixture.clock.jump(2 * day);
    const faulty = faultyDisk();
    vault = await fixture.open({ disk: faulty.disk });
    faulty.fail('EIO', (call) => faulty.trace[call] === `link ${name}`);
    const peers = [peerThat(honest), peerThat(honest)] as const;
    expect(await healWith(...peers)).toEqual([]);
    expect(peers.map(({ asked }) => asked)).toEqual([1, 0]);
    faulty.fail('EIO', () => false);
    expect(await healWith(...peers)).toEqual([name]);
  });

  it('is asked of no other peer, and not told as the failure of one, where this disk does not take the hashes of its leaves', async () => {
    fixture.clock.jump(2 * day);
    const log = watchEvents();
    const elsewhere = join(fixture.data, 'gone');
    const full = {
      layout: { ...vault.layout, incoming: elsewhere },
      lost: vault.lost.bind(vault),
      offer: vault.offer.bind(vault),
      withdraw: vault.withdraw.bind(vault),
      receive: vault.receive.bind(vault),
    };
    const peers = () => [peerThat(honest), peerThat(honest)];
    const parts = { vault: full, host: FR1, clock: fixture.clock, log, owners: () => [owner], peers };
    expect(await all(parts, never)).toEqual([]);
    const reason = expect.stringContaining(`${elsewhere} cannot be written`);
    expect(log.all).toEqual([
      { level: 'info', event: 'backup not healed', fields: { owner: FR2, backup: name, kind: 'failed', reason } },
    ]);
  });

  it('is not taken beyond the quota of its owner', async () => {
    fixture.clock.jump(2 * day);
    vault = await fixture.open({ quotaOf: () => content.length - 1 });
    const log = watchEvents();
    const peers = () => [owner, peerThat(honest)];
    expect(await all({ vault, host: FR1, clock: fixture.clock, log, owners: () => [owner], peers }, never)).toEqual([]);
    expect(log.all).toEqual([expect.objectContaining({ event: 'backup not healed' })]);
  });
});

describe('an own backup that was damaged here', () => {
  const own = manifestOf(content, servers.FR1.signer);
  const path = () => join(fixture.data, 'local', own.facts.name);
  const peer = (sends: Sends | null, changes: Partial<AuditedPeer> = {}): AuditedPeer => {
    return { ...peerThat(sends, FR2, own), ...changes };
  };
  const healFrom = (peers: readonly AuditedPeer[], signal = never) => {
    const owners = () => [{ name: FR1, identity: servers.FR1.identity }];
    return all({ vault, host: FR1, clock: fixture.clock, log: silent, owners, peers: () => peers }, signal);
  };
  const showing = (shown: VerifiedManifest) => ({
    list: async () => [{ manifest: shown.signed, receipt: undefined }],
  });

  beforeEach(async () => {
    await keepOwn(vault, own, content);
    await flipBit(path(), 70_000);
    await expect(vault.examine(own.facts.name)).rejects.toMatchObject({ kind: 'damaged' });
  });

  it('is taken back from a peer the next time, for nobody else would bring it', async () => {
    expect(await healFrom([peer(null), peer(honest)])).toEqual([own.facts.name]);
    expect((await readFile(path())).equals(content)).toBe(true);
    expect((await fixture.open()).find(own.facts.name)).toMatchObject({ own: true, receivedAt: null });
    expect(vault.damaged(FR1)).toEqual([]);
    expect(await fixture.files('.incoming')).toEqual([]);
  });

  it('goes on where a peer broke off, also after a restart', async () => {
    expect(await healFrom([peer(() => content.subarray(0, 2 * leafSize))])).toEqual([]);
    vault = await fixture.open();
    const asked: number[] = [];
    const rest = peer((offset, length) => {
      asked.push(offset);
      return honest(offset, length);
    });
    expect(await healFrom([rest])).toEqual([own.facts.name]);
    expect(asked).toEqual([2 * leafSize]);
  });

  it('is taken as a peer shows it where its manifest is damaged too, if this server signed that', async () => {
    const [, sidecar = ''] = (await fixture.files('.quarantine')).filter((file) => file.includes('-FR1-'));
    await flipBit(join(fixture.data, '.quarantine', sidecar), 60);
    const away = peer(null, { list: () => Promise.reject(new Failure('unreachable', 'US1 does not answer')) });
    const forger = peer(honest, showing(manifestOf(content, servers.FR2.signer)));
    expect(await healFrom([away, forger, peer(honest, { list: async () => [] })])).toEqual([]);
    expect(await healFrom([away, forger, peer(honest, showing(own))])).toEqual([own.facts.name]);
    expect((await readFile(path())).equals(content)).toBe(true);
  });

  it('is taken back also where less of the disk is free than others have to leave, and a person is told where it is not', async () => {
    vault = await fixture.open({ minimumFree: () => Number.MAX_SAFE_INTEGER });
    const log = watchEvents();
    const owners = () => [{ name: FR1, identity: servers.FR1.identity }];
    const parts = { vault, host: FR1, clock: fixture.clock, log, owners };
    expect(await all({ ...parts, peers: () => [peer(null)] }, never)).toEqual([]);
    expect(log.all.at(-1)).toMatchObject({ level: 'warn', event: 'own backup not healed' });
    expect(await all({ ...parts, peers: () => [peer(honest)] }, never)).toEqual([own.facts.name]);
  });

  it('is asked of no other peer by a node that stops', async () => {
    const stopping = new AbortController();
    const stops = peer(() => {
      stopping.abort();
      throw new Failure('interrupted', 'the call was given up');
    });
    const next = peer(() => expect.fail('the node has stopped'));
    await expect(healFrom([stops, next], stopping.signal)).rejects.toMatchObject({ name: 'AbortError' });
  });
});

describe('a backup of which a start could not read a file', () => {
  it.each([
    ['its data', `lstatSync ${name}`],
    ['its manifest', `openSync ${name}.manifest`],
  ])('is taken from another peer where its owner does not send it again: %s', async (_, step) => {
    await push(vault, manifest, content);
    await rm(join(fixture.data, '.quarantine'), { recursive: true });
    const faulty = faultyDisk();
    faulty.fail('EIO', (call) => faulty.trace[call] === step);
    vault = await fixture.open({ disk: faulty.disk });
    expect(vault.damaged(FR2)).toEqual([name]);
    expect(await healWith(peerThat(honest))).toEqual([name]);
    expect((await readFile(join(fixture.data, 'FR2', name))).equals(content)).toBe(true);
    expect((await fixture.open()).damaged(FR2)).toEqual([]);
  });
});
