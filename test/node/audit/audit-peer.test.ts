import { randomBytes, randomInt } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { leafSize } from '../../../src/mesh/manifest/digest-tree.js';
import type { VerifiedManifest } from '../../../src/mesh/manifest/manifest.js';
import { type Connection, connectTo } from '../../../src/mesh/peers/connection.js';
import { pushBackup } from '../../../src/mesh/peers/push-backup.js';
import { systemClock } from '../../../src/mesh/terms/clock.js';
import { Failure } from '../../../src/mesh/terms/failure.js';
import { failureFromTrailers, statusCode } from '../../../src/mesh/wire/status.js';
import { type AuditParts, askPeer, auditPeer } from '../../../src/node/audit/audit-peer.js';
import { type Audit, openAudit } from '../../../src/node/audit/audit-peers.js';
import { type AuditedPeer, auditedPeer } from '../../../src/node/audit/audited-peer.js';
import { openProofs, type Proofs } from '../../../src/node/audit/proofs.js';
import { openTimes } from '../../../src/node/audit/times.js';
import type { OwnBackup } from '../../../src/node/outbox/owed.js';
import { openReceipts, type Receipts } from '../../../src/node/outbox/receipts.js';
import { type Events, watchEvents } from '../../support/events.js';
import { FakeClock } from '../../support/fake-clock.js';
import { startHostilePeer } from '../../support/hostile-peer.js';
import { throwawayServer } from '../../support/identities.js';
import { manifestOf } from '../../support/manifests.js';
import { keepDays, type PeerNode, peerConfig, startPeerNode } from '../../support/peer-node.js';
import { temporaryFolder } from '../../support/temporary-folder.js';
import { damage } from '../vault/fixture.js';

const owner = throwawayServer('FR1');
const never = new AbortController().signal;
const day = 86_400_000;

let clock: FakeClock;
let folder: string;
let node: PeerNode;
let connection: Connection;
let receipts: Receipts;
let proofs: Proofs;
let backups: { manifest: VerifiedManifest; content: Buffer }[];
let log: Events;
/** Of the peer, for backups of others. */
let minimumDays: number;
let hasLock: boolean;

beforeEach(async () => {
  clock = new FakeClock('2026-11-23T03:00:00Z');
  folder = await temporaryFolder();
  log = watchEvents();
  minimumDays = 7;
  hasLock = false;
  const retention = () => keepDays(0, minimumDays);
  node = await startPeerNode({ peers: [peerConfig('FR1', owner)], clock, retention });
  connection = node.callAs(owner);
  receipts = openReceipts(join(folder, 'receipts'), log, () => false);
  proofs = openProofs(await openTimes(join(folder, 'proofs.json')), clock);
  backups = [];
  for (const nth of [1, 2, 3]) await deliver(nth);
});
afterEach(async () => {
  await node.stop();
});

const own = ({ facts, digest }: VerifiedManifest): OwnBackup => ({ ...facts, createdAt: facts.createdAtMs, digest });
const peer = (): AuditedPeer => auditedPeer(connection);
const names = () => backups.map(({ manifest }) => manifest.facts.name);
const owedNow = async () => {
  const held = await receipts.held(
    peer(),
    backups.map(({ manifest }) => own(manifest)),
  );
  return names().filter((name) => !held.has(name));
};

async function deliver(sequence: number, set = 'backup'): Promise<void> {
  const content = randomBytes(2 * leafSize + sequence);
  const createdAtMs = Date.UTC(2026, 10, 20 + sequence);
  const previous = Buffer.alloc(sequence > 1 ? 32 : 0);
  const manifest = manifestOf(content, owner.signer, { set, sequence, previous, createdAtMs });
  await bring({ manifest, content });
  backups.push({ manifest, content });
}

async function bring({ manifest, content }: (typeof backups)[number]): Promise<void> {
  async function* read(offset: number, length: number) {
    yield content.subarray(offset, offset + length);
  }
  await receipts.keep(peer(), own(manifest), await pushBackup(connection, manifest, { read }));
}

const parts = (): AuditParts => ({
  clock,
  log,
  receipts,
  proofs,
  draw: (below) => randomInt(below),
  ownBackups: async () => backups.map(({ manifest }) => own(manifest)),
  async manifestOf(name) {
    const found = backups.find(({ manifest }) => manifest.facts.name === name);
    if (found === undefined) throw new Failure('not-found', name);
    return found.manifest;
  },
});

const auditOf = (of: AuditedPeer, owed = (_: string): void => {}): Audit =>
  openAudit({ ...parts(), vault: { hasLock }, peers: () => [of], owed });

/** A peer that answers, but proves nothing of the set `backup`. */
const evasive = (): AuditedPeer => {
  const honest = peer();
  return {
    ...honest,
    leaves(manifest, signal) {
      if (manifest.facts.set === 'backup') throw new Failure('failed', 'FR2 cannot look just now');
      return honest.leaves(manifest, signal);
    },
  };
};

describe('the audit of a peer', () => {
  it('is passed by an honest one, for every backup that it gave a receipt for', async () => {
    const { report, problems } = await auditPeer(peer(), parts(), never);
    expect({ ...report, proven: [...report.proven].sort() }).toMatchObject({ proven: names(), lost: [], gone: [] });
    expect(problems).toEqual([]);
    expect(proofs.lastOf(peer(), await parts().ownBackups())).toBe(clock.now());
  });

  it('asks once for what retention removed, also after a restart, and again when it was brought anew', async () => {
    const [first = '', second = ''] = names();
    clock.jump(8 * day);
    for (const name of [first, second]) await node.vault.remove(name);
    await auditPeer(peer(), parts(), never);
    await proofs.save({ peers: [peer()], backups: await parts().ownBackups() });
    proofs = openProofs(await openTimes(join(folder, 'proofs.json')), clock);
    const asked: string[] = [];
    const watched: AuditedPeer = {
      ...peer(),
      leaves(manifest, signal) {
        asked.push(manifest.facts.name);
        return peer().leaves(manifest, signal);
      },
    };
    expect((await auditPeer(watched, parts(), never)).report.gone).toEqual([]);
    expect(asked).toEqual([names()[2]]);

    clock.jump(day);
    for (const backup of await parts().ownBackups()) await receipts.drop(peer(), backup);
    for (const backup of backups) await bring(backup);
    clock.jump(8 * day);
    await node.vault.remove(second);
    const { report } = await auditPeer(watched, parts(), never);
    expect(report.gone).toEqual([second]);
    expect([...report.proven].sort()).toEqual([first, names()[2]]);
  });

  it('owes again what a peer does not hold any more that its own minimum of days covers', async () => {
    const [first = '', second = ''] = names();
    await askPeer(peer(), parts(), never);
    await node.vault.remove(first);
    clock.jump(5 * day);
    const { report, problems } = await auditPeer(peer(), parts(), never);
    expect(report).toMatchObject({ lost: [first], gone: [] });
    expect(problems.map(({ message }) => message)).toEqual([
      `FR2 has lost ${first}: it does not hold it any more, although its retention removes nothing that came so lately`,
    ]);
    expect(await owedNow()).toEqual([first]);
    // A day is left for clocks and for rules that were just changed.
    clock.jump(1.5 * day);
    await node.vault.remove(second);
    expect((await auditPeer(peer(), parts(), never)).report).toMatchObject({ lost: [], gone: [second] });
    expect(await owedNow()).toEqual([first]);
  });

  it('does not call lost what the former rules of a peer removed, which has raised its minimum of days since', async () => {
    const [first = '', second = ''] = names();
    minimumDays = 2;
    await askPeer(peer(), parts(), never);
    clock.jump(3 * day);
    await node.vault.remove(first);
    minimumDays = 30;
    await askPeer(peer(), parts(), never);
    expect((await auditPeer(peer(), parts(), never)).report).toMatchObject({ lost: [], gone: [first] });
    clock.jump(2 * day);
    await node.vault.remove(second);
    await askPeer(peer(), parts(), never);
    expect((await auditPeer(peer(), parts(), never)).report).toMatchObject({ lost: [], gone: [second] });
  });

  it('holds a peer to all the days for which it has said so ever since, also after a restart and while it says less', async () => {
    const [first = '', second = ''] = names();
    minimumDays = 60;
    await auditOf(peer()).ask(never);
    await auditOf(peer()).proofs([], never);
    proofs = openProofs(await openTimes(join(folder, 'proofs.json')), clock);
    minimumDays = 30;
    clock.jump(28 * day);
    await node.vault.remove(first);
    expect((await auditPeer(peer(), parts(), never)).report).toMatchObject({ lost: [first], gone: [] });
    clock.jump(2 * day);
    await node.vault.remove(second);
    expect((await auditPeer(peer(), parts(), never)).report).toMatchObject({ lost: [], gone: [second] });
  });

  it('owes nothing again where a peer of version 0.1.0 does not tell for how many days it removes nothing', async () => {
    const [first = ''] = names();
    await node.vault.remove(first);
    const old = await startHostilePeer('DE1', owner, () => ({ list: () => [], fetch: () => [] }));
    const connection = connectTo(old.peer, owner, systemClock);
    try {
      const silent: AuditedPeer = { ...peer(), standing: auditedPeer(connection).standing };
      expect((await auditPeer(silent, parts(), never)).report).toMatchObject({ lost: [], gone: [first] });
      expect(await owedNow()).toEqual([]);
    } finally {
      connection.close();
      await old.stop();
    }
  });

  it('does not send again what retention removed, unless it is the newest of its set', async () => {
    clock.jump(8 * day);
    for (const name of names().slice(0, 2)) await node.vault.remove(name);
    const older = await auditPeer(peer(), parts(), never);
    expect([...older.report.gone].sort()).toEqual(names().slice(0, 2));
    expect(older.problems).toEqual([]);
    expect(await owedNow()).toEqual([]);

    await node.vault.remove(names()[2] ?? '');
    const newest = await auditPeer(peer(), parts(), never);
    expect(newest.report.lost).toEqual([names()[2]]);
    expect(newest.problems[0]?.message).toContain('newest of its set');
    expect(await owedNow()).toEqual([names()[2]]);
  });

  it('names what the peer found damaged itself, also an older one, and owes it again: once', async () => {
    const [first = ''] = names();
    await damage(node.vault, first);
    const before = await askPeer(peer(), parts(), never);
    expect(before.audit.lost).toEqual([first]);
    expect(await owedNow()).toEqual([first]);
    expect((await askPeer(peer(), parts(), never)).audit.lost).toEqual([]);
    const { problems } = await auditPeer(peer(), parts(), never, before.audit);
    expect(problems[0]?.message).toBe(`FR2 has lost ${first}: it found its own copy damaged`);
  });

  it('looks at no more of what a peer shows than there can be', async () => {
    const signed = { manifest: Buffer.alloc(0), signature: Buffer.alloc(0), certificate: Buffer.alloc(0) };
    const newestBackups = () => Array.from({ length: 10_000 }, () => signed);
    const liar = await startHostilePeer('DE1', owner, () => ({ list: () => [], fetch: () => [], newestBackups }));
    const connection = connectTo(liar.peer, owner, systemClock);
    try {
      expect((await auditedPeer(connection).standing(never)).newest).toHaveLength(100);
    } finally {
      connection.close();
      await liar.stop();
    }
  });

  it('takes it for a loss that a peer calls a leaf invalid that there is in the manifest', async () => {
    const shortened: AuditedPeer = {
      ...peer(),
      prove(name) {
        throw new Failure('invalid', `${name} has no leaf 2`);
      },
    };
    const { report } = await auditPeer(shortened, parts(), never);
    expect([...report.lost].sort()).toEqual(names());
    expect(await owedNow()).toEqual(names());
  });

  it('has a peer brought at once what it just lost, and nothing for what it had told before', async () => {
    const [first = '', , newest = ''] = names();
    const told: string[] = [];
    const audit = auditOf(peer(), (name) => told.push(name));
    await audit.proofs([], never);
    await damage(node.vault, first);
    const asked = await audit.ask(never);
    await audit.proofs(
      asked.map((each) => each.audit),
      never,
    );
    expect(told).toEqual([]);
    await node.vault.remove(newest);
    await audit.proofs([], never);
    expect(told).toEqual(['FR2']);
  });

  it('does not owe again for ever what was damaged, sent again, and then removed by retention', async () => {
    const { manifest, content } = backups[0] ?? { manifest: undefined, content: Buffer.alloc(0) };
    if (manifest === undefined) throw new Error('no backup');
    await damage(node.vault, manifest.facts.name);
    await askPeer(peer(), parts(), never);
    async function* read(offset: number, length: number) {
      yield content.subarray(offset, offset + length);
    }
    await receipts.keep(peer(), own(manifest), await pushBackup(connection, manifest, { read }));
    expect((await askPeer(peer(), parts(), never)).audit.lost).toEqual([]);
    await node.vault.remove(manifest.facts.name);
    expect((await askPeer(peer(), parts(), never)).audit.lost).toEqual([]);
  });

  it('names, every time, one that claims to hold what it has lost', async () => {
    const liar: AuditedPeer = {
      ...peer(),
      async *prove(_, leaves) {
        for (const _leaf of leaves) yield Buffer.alloc(leafSize);
      },
    };
    for (let night = 0; night < 2; night += 1) {
      const { report, problems } = await auditPeer(liar, parts(), never);
      expect([...report.lost].sort()).toEqual(names());
      expect(problems).toHaveLength(3);
      // It says `held` at the offer, with the receipt of before.
      for (const { manifest } of backups) {
        const receipt = await pushBackup(connection, manifest, {
          read: () => expect.fail('bytes are asked for'),
        });
        await receipts.keep(peer(), own(manifest), receipt);
      }
    }
  });

  it.each(['damaged', 'not-found'] as const)(
    'blames no peer, and drops no receipt, when the own manifest is %s, and goes on with the other backups',
    async (kind) => {
      const newest = names()[2] ?? '';
      const { report, problems } = await auditPeer(
        peer(),
        {
          ...parts(),
          async manifestOf(name) {
            if (name === newest) throw new Failure(kind, `the manifest beside ${name} is ${kind}`);
            return parts().manifestOf(name);
          },
        },
        never,
      );
      expect([...report.proven].sort()).toEqual(names().slice(0, 2));
      expect(report).toMatchObject({ lost: [], gone: [], problem: undefined });
      expect(await owedNow()).toEqual([]);
      const told = problems.map(({ message }) => message);
      expect(told).toEqual(kind === 'damaged' ? [`the manifest beside ${newest} is damaged`] : []);
    },
  );

  it('gives up a peer that answers too slowly, drops no receipt for that, and calls it a problem after a week', async () => {
    const slow: AuditedPeer = {
      ...peer(),
      async *leaves(_, signal) {
        signal.throwIfAborted();
        await new Promise((_resolve, reject) => {
          signal.addEventListener('abort', () => reject(signal.reason), { once: true });
        });
      },
    };
    const audit = auditPeer(slow, parts(), never);
    while (clock.pending() === 0) await clock.advance(0);
    await clock.advance(15 * 60_000);
    const { report, problems } = await audit;
    expect(report.problem).toMatchObject({ kind: 'timeout' });
    expect(problems).toEqual([]);
    expect(await owedNow()).toEqual([]);

    clock.jump(8 * 86_400_000);
    const later = auditPeer(slow, parts(), never);
    while (clock.pending() === 0) await clock.advance(0);
    await clock.advance(15 * 60_000);
    expect((await later).problems[0]?.message).toContain('for a week');
  });

  it('loses nothing to a program that does not know the calls; but after a week without a proof it is told', async () => {
    const old: AuditedPeer = {
      ...peer(),
      // biome-ignore lint/correctness/useYield: it fails
      async *leaves() {
        throw failureFromTrailers({ 'grpc-status': String(statusCode.unimplemented) }, 'FR2');
      },
    };
    const { report, problems } = await auditPeer(old, parts(), never);
    expect(report).toMatchObject({ proven: [], lost: [], gone: [], problem: { kind: 'failed' } });
    expect(problems).toEqual([]);

    clock.jump(8 * 86_400_000);
    expect((await auditPeer(old, parts(), never)).problems).toEqual([
      expect.objectContaining({ message: expect.stringContaining('for a week') }),
    ]);
  });

  it('calls it a problem after a week that nothing is proven by a peer whose receipts never stay until the night', async () => {
    expect((await auditPeer(peer(), parts(), never)).problems).toEqual([]);
    for (const backup of await parts().ownBackups()) await receipts.drop(peer(), backup);
    clock.jump(6 * 86_400_000);
    expect((await auditPeer(peer(), parts(), never)).problems).toEqual([]);
    clock.jump(2 * 86_400_000);
    expect((await auditPeer(peer(), parts(), never)).problems).toEqual([
      expect.objectContaining({ message: expect.stringMatching(/for a week .*: there was nothing acknowledged/) }),
    ]);
  });

  it('says after a week without a proof that the peer loses the newest backup again and again, where it does', async () => {
    const liar: AuditedPeer = {
      ...peer(),
      async *prove(_, leaves) {
        for (const _leaf of leaves) yield Buffer.alloc(leafSize);
      },
    };
    const { manifest } = backups[2] ?? expect.fail('no backup');
    const newest = manifest.facts.name;
    let told: string[] = [];
    for (let night = 1; night <= 8; night += 1) {
      const { problems } = await auditPeer(liar, parts(), never);
      told = problems.map(({ message }) => message);
      const read = () => expect.fail('it says that it holds it');
      await receipts.keep(peer(), own(manifest), await pushBackup(connection, manifest, { read }));
      clock.jump(day);
    }
    const loss = told.find((message) => message.startsWith(`FR2 has lost ${newest}: `));
    expect(told.at(-1)).toBe(`FR2 has not proved for a week that it holds the newest backup of set backup: ${loss}`);
  });

  it('calls it a problem after a week that a set is not proven, also when it changes nightly and another one is proven', async () => {
    await deliver(1, 'kit');
    const fr2 = evasive();
    const audit = auditOf(fr2);
    const told: string[][] = [];
    for (let night = 1; night <= 8; night += 1) {
      const { peers, problems } = await audit.proofs([], never);
      expect(peers[0]).toMatchObject({ proven: [names()[3]], problem: { message: 'FR2 cannot look just now' } });
      told.push(problems.map(({ message }) => message));
      clock.jump(day);
      await deliver(3 + night);
    }
    expect(told.slice(0, 7).flat()).toEqual([]);
    expect(told[7]).toEqual([
      'FR2 has not proved for a week that it holds the newest backup of set backup: FR2 cannot look just now',
    ]);
    expect(await audit.lastProof(peer().name)).toBe(0);

    const honest = auditOf(peer());
    expect((await honest.proofs([], never)).problems).toEqual([]);
    const proven = clock.now();
    clock.jump(day);
    await deliver(12);
    expect((await audit.proofs([], never)).problems).toEqual([]);
    expect(await audit.lastProof(peer().name)).toBe(proven);
  });

  it('calls it a problem after a week that the newest is not proven, whatever is proven of older ones', async () => {
    const [, , newest = ''] = names();
    const honest = peer();
    const outdated: AuditedPeer = {
      ...honest,
      leaves(manifest, signal) {
        if (manifest.facts.name === newest) throw new Failure('failed', 'FR2 cannot look just now');
        return honest.leaves(manifest, signal);
      },
    };
    let told: string[] = [];
    for (let night = 1; night <= 8; night += 1) {
      const { report, problems } = await auditPeer(outdated, parts(), never);
      expect(report.proven).toHaveLength(2);
      told = problems.map(({ message }) => message);
      clock.jump(day);
    }
    expect(told).toEqual([expect.stringContaining('for a week that it holds the newest backup of set backup')]);
    expect(proofs.lastOf(peer(), await parts().ownBackups())).toBe(0);
  });

  it('counts a proof of a day that is yet to come as none: the clock was wrong then', async () => {
    clock.jump(365 * day);
    await auditPeer(peer(), parts(), never);
    clock.jump(-365 * day);
    expect((await auditPeer(evasive(), parts(), never)).problems).toEqual([]);
    expect(proofs.lastOf(peer(), await parts().ownBackups())).toBe(0);
    clock.jump(7 * day);
    expect((await auditPeer(evasive(), parts(), never)).problems).toEqual([
      expect.objectContaining({ message: expect.stringContaining('for a week') }),
    ]);
  });

  it('calls it a problem at once that a peer refuses this server', async () => {
    const refusing: AuditedPeer = {
      ...peer(),
      leaves() {
        throw new Failure('untrusted', 'FR2: this node key of FR1 is superseded', { hint: 'FR2 says: bring it back' });
      },
    };
    const { report, problems } = await auditPeer(refusing, parts(), never);
    const message = 'FR2 did not prove everything: FR2: this node key of FR1 is superseded';
    expect(problems).toEqual([{ kind: 'untrusted', message, hint: 'FR2 says: bring it back' }]);
    // Where it is told as an excuse too, it is told twice.
    expect(report.problem).toBeUndefined();
    expect(await owedNow()).toEqual([]);
  });

  it('accuses no peer of a week that it did not have: the backup is old, but its receipt is of tonight', async () => {
    clock.jump(90 * day);
    const { report, problems } = await auditPeer(evasive(), parts(), never);
    expect(report.problem).toMatchObject({ message: 'FR2 cannot look just now' });
    expect(problems).toEqual([]);
  });

  it('goes on with the other backups after one for which the peer had an excuse', async () => {
    await deliver(4, 'photos');
    const { report } = await auditPeer(evasive(), parts(), never);
    expect(report).toMatchObject({ proven: [names()[3]], problem: { kind: 'failed' } });
  });

  it('reaches every older backup in turn, also where some are gone, and for others there is an excuse each night', async () => {
    const all = Array.from({ length: 20 }, (_, nth) => {
      const previous = Buffer.alloc(nth === 0 ? 0 : 32);
      const createdAtMs = Date.UTC(2026, 9, nth + 1);
      return manifestOf(Buffer.alloc(0), owner.signer, { sequence: nth + 1, previous, size: 1e9, createdAtMs });
    });
    const asked = new Set<string>();
    const forgetful: AuditedPeer = {
      ...peer(),
      leaves({ facts: { name } }) {
        asked.add(name);
        throw new Failure(name < (all[10]?.facts.name ?? '') ? 'not-found' : 'failed', `FR2 does not show ${name}`);
      },
    };
    const large: AuditParts = {
      ...parts(),
      receipts: { ...receipts, held: async (_, own) => new Set(own.map(({ name }) => name)) },
      ownBackups: async () => all.map(own),
      manifestOf: async (name) => all.find(({ facts }) => facts.name === name) ?? expect.fail(name),
    };
    for (let night = 1; night <= 19; night += 1) {
      await auditPeer(forgetful, large, never);
      clock.jump(day);
    }
    expect(asked.size).toBe(20);
  });

  it('remembers what was proven of backups that the node may not read now', async () => {
    const proven = clock.now();
    await auditOf(peer()).proofs([], never);
    const readable = backups;
    [hasLock, backups] = [true, []];
    await auditOf(peer()).proofs([], never);
    [hasLock, backups] = [false, readable];
    expect(await auditOf(peer()).lastProof(peer().name)).toBe(proven);
  });

  it('counts no proof of the server that was called FR2 before', async () => {
    const former = auditOf(peer());
    await former.proofs([], never);
    expect(await former.lastProof(peer().name)).toBe(clock.now());
    const rebuilt = auditOf({ ...peer(), identity: throwawayServer('FR2').identity });
    expect(await rebuilt.lastProof(peer().name)).toBe(0);
  });

  it('tells what was lost also when it cannot write down what was proven', async () => {
    const file = join(folder, 'in-the-way', 'proofs.json');
    await mkdir(file, { recursive: true });
    proofs = openProofs(await openTimes(file), clock);
    const [first = '', , newest = ''] = names();
    await node.vault.remove(newest);
    const audit = auditOf(peer());
    const { peers, problems } = await audit.proofs([], never);
    expect(peers[0]).toMatchObject({ lost: [newest], proven: expect.arrayContaining([first]) });
    expect(problems.map(({ message }) => message)).toEqual([
      expect.stringContaining(`FR2 has lost ${newest}`),
      expect.stringContaining(`${file} cannot be written`),
    ]);
  });
});
