import { createHash } from 'node:crypto';
import { getEventListeners } from 'node:events';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type DeliveryProgress, Outcome } from '../../../src/mesh/generated/anemone/node/v1/node.js';
import { signReceipt } from '../../../src/mesh/manifest/receipt.js';
import { formatBackupName } from '../../../src/mesh/terms/backup-name.js';
import { Failure } from '../../../src/mesh/terms/failure.js';
import { parseHostname } from '../../../src/mesh/terms/hostname.js';
import type { OutboxPeer } from '../../../src/node/outbox/deliver.js';
import { type Outbox, openOutbox } from '../../../src/node/outbox/outbox.js';
import type { OwnBackup } from '../../../src/node/outbox/owed.js';
import { openReceipts } from '../../../src/node/outbox/receipts.js';
import { silent } from '../../support/events.js';
import { FakeClock } from '../../support/fake-clock.js';
import { throwawayServer } from '../../support/identities.js';
import { temporaryFolder } from '../../support/temporary-folder.js';
import { TestPeer } from './test-peer.js';

const minute = 60_000;
const forever = new AbortController().signal;

const night = (day: number): OwnBackup => {
  const createdAt = Date.UTC(2026, 10, day, 1);
  const name = formatBackupName({ owner: parseHostname('FR1'), set: 'backup', time: createdAt });
  const digest = createHash('sha256').update(name).digest();
  return { name, set: 'backup', sequence: day, createdAt, size: 1000, digest };
};
const [first, second, third] = [night(21), night(22), night(23)];

let folder: string;
let clock: FakeClock;
let backups: OwnBackup[];
let fr2: TestPeer;
let us1: TestPeer;
let outbox: Outbox;

beforeEach(async () => {
  folder = await temporaryFolder();
  clock = new FakeClock();
  backups = [first, second];
  fr2 = new TestPeer('FR2');
  us1 = new TestPeer('US1');
});
afterEach(async () => {
  await outbox.stop();
  expect(clock.pending()).toBe(0);
});

type Pusher = Pick<OutboxPeer, 'push'>;
const asFr2 = ({ push }: Pusher): OutboxPeer => ({ name: fr2.name, identity: fr2.identity, push });

async function start(...peers: TestPeer[]): Promise<void> {
  outbox = openOutbox({
    clock,
    log: silent,
    receipts: openReceipts(join(folder, 'receipts'), silent, () => false),
    ownBackups: async () => backups,
  });
  await outbox.follow(peers);
}

/** Waits for real files; the clock of the outbox stands still meanwhile. */
async function until(check: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await check())) await setImmediate();
}
const caughtUp = async (): Promise<void> =>
  until(async () => (await outbox.status()).every((peer) => peer.owed.length === 0 && peer.problem === undefined));
const planned = async (): Promise<void> =>
  until(async () => (await outbox.status()).every((peer) => peer.owed.length === 0 || peer.nextTryAtMs > 0));

const unreachable = () => Promise.reject(new Failure('unreachable', 'FR2 does not answer'));
const deliverNow = (emit: (progress: DeliveryProgress) => void = () => {}, hurry = new AbortController().signal) =>
  outbox.deliverNow(emit, { stop: forever, hurry });

describe('the outbox', () => {
  it('brings every peer everything at its start, newest first', async () => {
    await start(fr2, us1);
    await caughtUp();
    expect(fr2.taken).toEqual([second.name, first.name]);
    expect(us1.taken).toEqual([second.name, first.name]);
    expect(await outbox.status()).toEqual([
      { name: 'FR2', owed: [], problem: undefined, problemMayPass: false, nextTryAtMs: 0 },
      { name: 'US1', owed: [], problem: undefined, problemMayPass: false, nextTryAtMs: 0 },
    ]);
  });

  it('brings small backups side by side once the first is there, as long as they have 4 MiB together', async () => {
    const large = { ...night(12), size: 2 ** 30 };
    const ofTwo = [7, 8].map((day) => ({ ...night(day), size: 2 * 2 ** 20 }));
    const ofThree = [9, 10].map((day) => ({ ...night(day), size: 3 * 2 ** 20 }));
    backups = [...[13, 14, 15, 16, 17, 18, 19, 20, 21, 22].map(night), large, ...ofThree, ...ofTwo];
    let here = 0;
    const beside = new Map<string, number>();
    fr2.instead = async (backup) => {
      here += 1;
      await setImmediate();
      beside.set(backup.name, here);
      await setImmediate();
      here -= 1;
    };
    await start(fr2);
    await caughtUp();
    expect(beside.get(second.name)).toBe(1);
    for (const { name } of [large, ...ofThree]) expect(beside.get(name)).toBe(1);
    for (const { name } of ofTwo) expect(beside.get(name)).toBe(2);
    expect(beside.get(night(18).name)).toBe(8);
    expect(Math.max(...beside.values())).toBe(8);
  });

  it('mistake 1 of the predecessor: the upload loop ended after the first peer that succeeded', async () => {
    backups = [];
    await start(fr2, us1, new TestPeer('DE1'));
    backups = [third];
    const reports = await deliverNow();
    expect(reports.map((report) => [report.peer, report.delivered])).toEqual([
      ['FR2', [third.name]],
      ['US1', [third.name]],
      ['DE1', [third.name]],
    ]);
  });

  it('mistake 3 of the predecessor: success when every peer had failed', async () => {
    fr2.instead = unreachable;
    await start(fr2);
    const [report] = await deliverNow();
    expect(report).toMatchObject({
      outcome: Outcome.OUTCOME_FAILED,
      delivered: [],
      owed: 2,
      problem: { kind: 'unreachable', message: 'FR2 does not answer' },
    });
  });

  it('delivers nothing twice, also after a restart', async () => {
    await start(fr2);
    await caughtUp();
    await outbox.stop();
    await start(fr2);
    const [report] = await deliverNow();
    expect(report).toMatchObject({ outcome: Outcome.OUTCOME_UNCHANGED, delivered: [], owed: 0, bytes: 0 });
    expect(fr2.tries).toBe(2);
  });

  it('tries a peer that is away again, later and later, until it is back', async () => {
    fr2.instead = unreachable;
    await start(fr2);
    await planned();
    const [status] = await outbox.status();
    expect(status?.problem).toMatchObject({ kind: 'unreachable' });
    expect((status?.nextTryAtMs ?? 0) - clock.now()).toBeGreaterThanOrEqual(24_000);
    expect((status?.nextTryAtMs ?? 0) - clock.now()).toBeLessThanOrEqual(30_000);
    expect(fr2.tries).toBe(1);

    await clock.advance(30_000);
    await until(() => fr2.tries === 2);
    await planned();
    await clock.advance(30_000);
    expect(fr2.tries).toBe(2);
    fr2.instead = undefined;
    await clock.advance(30_000);
    await caughtUp();
    expect((await outbox.status())[0]?.problem).toBeUndefined();
  });

  it('tries a peer again soon that was away for long, once it was owed nothing any more', async () => {
    fr2.instead = unreachable;
    await start(fr2);
    for (let round = 1; round <= 10; round += 1) await deliverNow();
    backups = [];
    await deliverNow();
    backups = [third];
    await deliverNow();
    const [status] = await outbox.status();
    expect((status?.nextTryAtMs ?? 0) - clock.now()).toBeLessThanOrEqual(30_000);
  });

  it.each([
    ['is away', new Failure('unreachable', 'no connection'), true],
    ['did not answer where another server does', new Failure('untrusted', 'another server', { retryable: true }), true],
    ['is busy', new Failure('failed', 'FR1 sends 16 ranges already', { retryable: true }), true],
    ['has no room, though it is asked again', new Failure('no-space', 'the disk is full', { retryable: true }), false],
    ['refuses the key of this server', new Failure('untrusted', 'superseded'), false],
  ])('says of a peer that %s whether that may pass', async (_what, failure, problemMayPass) => {
    fr2.instead = () => Promise.reject(failure);
    await start(fr2);
    await planned();
    expect(await outbox.status()).toMatchObject([{ problem: { message: failure.message }, problemMayPass }]);
  });

  it.each([
    ['is busy again and again, as with a disk that takes nothing', 'failed', 'FR2: EROFS: read-only'],
    ['takes no byte again and again, as behind a tunnel that drops large packets', 'timeout', 'FR2 did not answer'],
  ] as const)('says no longer that it may pass when a peer %s', async (_what, kind, message) => {
    const fail = () => Promise.reject(new Failure(kind, message, { retryable: true }));
    if (kind === 'timeout') fr2.afterAnswer = fail;
    else fr2.instead = fail;
    await start(fr2);
    for (let tries = 1; tries <= 5; tries += 1) {
      await planned();
      const [status] = await outbox.status();
      expect(status?.problemMayPass).toBe(true);
      await clock.advance((status?.nextTryAtMs ?? 0) - clock.now());
      await until(() => fr2.tries === tries + 1);
    }
    await planned();
    expect(await outbox.status()).toMatchObject([{ problemMayPass: false }]);
  });

  it('goes on saying that it may pass while each attempt brings more of a backup, and while a peer is away', async () => {
    backups = [first];
    let sent = 0;
    let failure = new Failure('timeout', 'FR2 did not answer');
    const slow: Pusher = {
      push(_backup, options) {
        sent += 10;
        if (failure.kind === 'timeout') options.progress(sent);
        return Promise.reject(failure);
      },
    };
    await start();
    await outbox.follow([asFr2(slow)]);
    for (let round = 1; round <= 10; round += 1) await deliverNow();
    expect(await outbox.status()).toMatchObject([{ problem: { kind: 'timeout' }, problemMayPass: true }]);
    failure = new Failure('unreachable', 'FR2 does not answer');
    for (let round = 1; round <= 10; round += 1) await deliverNow();
    expect(await outbox.status()).toMatchObject([{ problem: { kind: 'unreachable' }, problemMayPass: true }]);
  });

  it('says that it may pass of a peer that is switched off, of which a VPN tells nothing but silence', async () => {
    fr2.instead = () => Promise.reject(new Failure('timeout', 'FR2 did not answer', { retryable: true }));
    await start(fr2);
    for (let round = 1; round <= 10; round += 1) await deliverNow();
    expect(await outbox.status()).toMatchObject([{ problem: { kind: 'timeout' }, problemMayPass: true }]);
  });

  it('tries at once when a peer that was away is seen, but not more than every ten seconds', async () => {
    fr2.instead = unreachable;
    await start(fr2);
    await planned();
    outbox.kick(parseHostname('FR2'));
    outbox.kick(parseHostname('US1'));
    await clock.advance(9_999);
    expect(fr2.tries).toBe(1);
    fr2.instead = undefined;
    await clock.advance(1);
    await caughtUp();
    expect(fr2.taken).toHaveLength(2);
  });

  it('tries at once when a peer is seen in whose place another server answered', async () => {
    fr2.instead = () => Promise.reject(new Failure('untrusted', 'another server answers there', { retryable: true }));
    await start(fr2);
    await planned();
    outbox.kick(parseHostname('FR2'));
    fr2.instead = undefined;
    await clock.advance(10_000);
    await caughtUp();
    expect(fr2.taken).toHaveLength(2);
  });

  it('does not try a peer that refuses sooner because it was seen: not before, and not during a try', async () => {
    fr2.instead = () => {
      outbox.kick(parseHostname('FR2'));
      return Promise.reject(new Failure('no-space', 'the quota of FR1 at FR2 is used up', { retryable: true }));
    };
    await start(fr2);
    await planned();
    outbox.kick(parseHostname('FR2'));
    const [status] = await outbox.status();
    expect((status?.nextTryAtMs ?? 0) - clock.now()).toBeGreaterThanOrEqual(24_000);
  });

  it('tries a peer that refused at once when the configuration was read again, and no other one', async () => {
    fr2.instead = () => Promise.reject(new Failure('untrusted', 'FR2 does not take FR1 for a peer'));
    us1.instead = unreachable;
    await start(fr2, us1);
    await planned();
    fr2.instead = undefined;
    await outbox.follow([fr2, us1]);
    await until(() => fr2.taken.length === 2);
    expect(us1.tries).toBe(1);
  });

  it('delivers to the others while one peer hangs, and one is full', async () => {
    const full = new TestPeer('DE1');
    fr2.instead = () => new Promise(() => {});
    full.instead = () =>
      Promise.reject(new Failure('no-space', 'the quota of FR1 at DE1 is used up', { retryable: true }));
    await start(fr2, full, us1);
    await until(() => us1.taken.length === 2);
    await until(() => full.tries === 1 && fr2.tries === 1);
  });

  it('gives a peer up when no byte moves for a minute, and not before', async () => {
    fr2.instead = () => new Promise(() => {});
    await start(fr2);
    await until(() => fr2.tries === 1);
    const reports = deliverNow();
    await clock.advance(minute - 1);
    expect((await outbox.status())[0]?.problem).toBeUndefined();
    await clock.advance(1);
    await until(() => fr2.tries === 2);
    await clock.advance(minute);
    expect((await reports)[0]).toMatchObject({
      outcome: Outcome.OUTCOME_FAILED,
      problem: { kind: 'timeout', hint: expect.stringContaining('MTU') },
    });
  });

  it('waits for a slow peer for as long as bytes move', async () => {
    backups = [first];
    const slow: Pusher = {
      async push(backup, options) {
        for (let sent = 0; sent < 60; sent += 1) {
          options.progress(sent);
          await clock.sleep(minute / 2, options.signal);
        }
        return fr2.push(backup, options);
      },
    };
    await start();
    await outbox.follow([asFr2(slow)]);
    const reports = deliverNow();
    await until(() => clock.pending() === 2);
    await clock.advance(30 * minute);
    expect((await reports)[0]).toMatchObject({ outcome: Outcome.OUTCOME_DONE, owed: 0 });
  });

  it('goes on with what is half sent when the link breaks every night, and then takes the newest', async () => {
    const there = new Map<string, number>();
    let left = 0;
    const slow: Pusher = {
      async push(backup, options) {
        const before = there.get(backup.name) ?? 0;
        const now = Math.min(backup.size, before + left);
        left -= now - before;
        there.set(backup.name, now);
        options.progress(now);
        if (now < backup.size) throw new Failure('unreachable', 'the link to FR2 broke');
        return fr2.push(backup, options);
      },
    };
    backups = [];
    await start();
    await outbox.follow([asFr2(slow)]);
    for (let day = 1; day <= 6; day += 1) {
      backups = [...backups, night(day)];
      left = 700;
      await deliverNow();
      if (day === 3) expect(backups.filter(({ name }) => outbox.isHalfway(name))).toEqual([night(3)]);
    }
    expect(fr2.taken).toEqual([night(1).name, night(2).name, night(3).name, night(5).name]);
  });

  it('goes on with what is half sent after a peer was away, and after it lost its part', async () => {
    let there = 0;
    const tried: string[] = [];
    const slow = (brings: number): Pusher => ({
      push(backup, options) {
        tried.push(backup.name);
        options.progress(backup === first ? there : 0);
        if (backup === first) there += brings;
        options.progress(there);
        return Promise.reject(new Failure('unreachable', 'the link to FR2 broke'));
      },
    });
    backups = [first];
    await start();
    const peer = asFr2(slow(300));
    await outbox.follow([peer]);
    await deliverNow();
    backups = [first, second];

    peer.push = () => Promise.reject(new Failure('timeout', 'FR2 did not answer for 10 s'));
    await deliverNow();
    there = 0;
    peer.push = slow(100).push;
    for (let round = 1; round <= 2; round += 1) await deliverNow();
    expect(tried.splice(0)).not.toContain(second.name);

    peer.push = slow(0).push;
    for (let round = 1; round <= 3; round += 1) await deliverNow();
    await clock.advance(24 * 60 * minute);
    for (let round = 1; round <= 2; round += 1) await deliverNow();
    expect(tried.at(-1)).toBe(second.name);
  });

  it('holds up nothing newer for one that gets no further, although that may pass', async () => {
    backups = [first];
    const halfway: Pusher = {
      push(backup, options) {
        if (backup !== first) return fr2.push(backup, options);
        options.progress(backup.size / 2);
        return Promise.reject(new Failure('failed', 'EIO: i/o error, read', { retryable: true }));
      },
    };
    await start();
    await outbox.follow([asFr2(halfway)]);
    await deliverNow();
    backups = [first, second];
    for (let round = 1; round <= 2; round += 1) await deliverNow();
    expect(fr2.taken).toEqual([second.name]);
  });

  it('goes on first with nothing that was refused for its own sake', async () => {
    const tried: string[] = [];
    backups = [first];
    const picky: Pusher = {
      push(backup, options) {
        tried.push(backup.name);
        options.progress(backup.size);
        return Promise.reject(new Failure('damaged', `FR2 found ${backup.name} damaged`));
      },
    };
    await start();
    await outbox.follow([asFr2(picky)]);
    await deliverNow();
    backups = [first, second];
    tried.length = 0;
    await deliverNow();
    expect(tried).toEqual([second.name, first.name]);
  });

  it('goes on with what is under way to a peer when another one is added', async () => {
    let release = (): void => {};
    const signals: AbortSignal[] = [];
    fr2.instead = (_, signal) => {
      signals.push(signal);
      return new Promise((resolve) => {
        release = resolve;
      });
    };
    backups = [first];
    await start(fr2);
    await until(() => signals.length === 1);
    await outbox.follow([fr2, us1]);
    expect(signals.map(({ aborted }) => aborted)).toEqual([false]);
    release();
    await caughtUp();
    expect([fr2.tries, us1.tries]).toEqual([1, 1]);
  });

  it('waits no longer for a peer when the next run is due, but goes on with it, and serves the others', async () => {
    backups = [first];
    let release = (): void => {};
    const released = new Promise<void>((resolve) => {
      release = resolve;
    });
    fr2.instead = () => released;
    await start(fr2, us1);
    for (const newer of [second, third]) {
      backups = [...backups, newer];
      const due = new AbortController();
      const reports = deliverNow(() => {}, due.signal);
      await until(() => us1.taken.includes(newer.name));
      due.abort('the next run was due');
      expect((await reports)[0]).toMatchObject({
        outcome: Outcome.OUTCOME_FAILED,
        owed: backups.length,
        problem: { kind: 'timeout', message: 'the delivery to FR2 was not over when the next run was due' },
      });
    }
    expect(fr2.tries).toBe(1);
    release();
    await caughtUp();
    expect(fr2.taken.sort()).toEqual([first.name, second.name, third.name]);
  });

  it('begins nothing older once a run has made a newer one: a peer that was away for long is owed many', async () => {
    let release = (): void => {};
    fr2.instead = () =>
      new Promise((resolve) => {
        release = resolve;
      });
    await start(fr2);
    await until(() => fr2.tries === 1);
    backups = [...backups, third];
    const reports = deliverNow();
    fr2.instead = undefined;
    release();
    expect((await reports)[0]).toMatchObject({ outcome: Outcome.OUTCOME_DONE, owed: 0 });
    expect(fr2.taken).toEqual([second.name, third.name, first.name]);
  });

  it('goes on telling what a peer refused while it brings what is newer, one run after the other', async () => {
    const release = new Map<string, () => void>();
    fr2.instead = ({ name }) =>
      name === first.name
        ? Promise.reject(new Failure('no-space', 'the quota of FR1 at FR2 is used up'))
        : new Promise((resolve) => void release.set(name, resolve));
    backups = [first];
    await start(fr2);
    await planned();
    const runs: Promise<unknown>[] = [];
    for (const newer of [second, third]) {
      backups = [...backups, newer];
      runs.push(deliverNow());
      if (newer === second) await until(() => release.has(second.name));
    }
    release.get(second.name)?.();
    await until(() => release.has(third.name));
    expect(await outbox.status()).toMatchObject([{ owed: [third.name, first.name], problem: { kind: 'no-space' } }]);
    release.get(third.name)?.();
    await Promise.all(runs);
    expect(await outbox.status()).toMatchObject([{ owed: [first.name], problem: { kind: 'no-space' } }]);
  });

  it('forgets that a peer was away once it takes what is newest, also in a round that is cut short for the next one', async () => {
    fr2.instead = unreachable;
    await start(fr2);
    await planned();
    const release = new Map<string, () => void>();
    fr2.instead = ({ name }) => new Promise((resolve) => void release.set(name, resolve));
    const runs = [deliverNow()];
    await until(() => release.has(second.name));
    backups = [...backups, third];
    runs.push(deliverNow());
    expect(await outbox.status()).toMatchObject([{ problem: { kind: 'unreachable' } }]);
    release.get(second.name)?.();
    await until(() => release.has(third.name));
    expect(await outbox.status()).toMatchObject([{ owed: [third.name, first.name], problem: undefined }]);
    release.get(third.name)?.();
    await until(() => release.has(first.name));
    release.get(first.name)?.();
    await Promise.all(runs);
  });

  it('tells what a peer refuses also of a round that is cut short for the next one', async () => {
    let release = (): void => {};
    fr2.instead = ({ name }) =>
      name === second.name
        ? Promise.reject(new Failure('conflict', 'another backup has this name'))
        : new Promise((resolve) => {
            release = resolve;
          });
    await start(fr2);
    await until(() => fr2.tries === 2);
    const later = deliverNow();
    release();
    await later;
    expect(await outbox.status()).toMatchObject([{ owed: [second.name], problem: { kind: 'conflict' } }]);
  });

  it('passes over a backup that retention has removed since the round began', async () => {
    let release = (): void => {};
    fr2.instead = ({ name }) =>
      name === second.name
        ? new Promise((resolve) => {
            release = resolve;
          })
        : Promise.reject(new Failure('not-found', `"${name}" is not held here`));
    await start(fr2);
    await until(() => fr2.tries === 1);
    backups = [second];
    release();
    await until(() => fr2.tries === 2);
    await setImmediate();
    expect((await outbox.status())[0]).toMatchObject({ owed: [], problem: undefined, nextTryAtMs: 0 });
    expect(clock.pending()).toBe(0);
  });

  it('delivers the other backups when one of them is refused for its own sake', async () => {
    fr2.instead = async (backup) => {
      if (backup === second) throw new Failure('conflict', 'FR2 has another backup of this name');
    };
    await start(fr2);
    const [report] = await deliverNow();
    expect(report).toMatchObject({ owed: 1, problem: { kind: 'conflict' } });
    expect(fr2.taken).toEqual([first.name]);
    expect((await outbox.status())[0]).toMatchObject({
      owed: [second.name],
      nextTryAtMs: clock.now() + 15 * minute,
    });
  });

  it('believes no receipt that another server signed', async () => {
    backups = [first];
    const liar = throwawayServer('FR2');
    const lying: Pusher = {
      push: async (backup) => signReceipt({ manifestDigest: backup.digest, receivedAt: 1 }, liar.signer),
    };
    await start();
    await outbox.follow([asFr2(lying)]);
    const [report] = await deliverNow();
    expect(report).toMatchObject({ outcome: Outcome.OUTCOME_FAILED, owed: 1, problem: { kind: 'untrusted' } });
  });

  it('tells the progress of what it delivers, and counts the bytes that it sent', async () => {
    backups = [];
    fr2.had = 400;
    await start(fr2);
    await caughtUp();
    backups = [first, second];
    const events: DeliveryProgress[] = [];
    const [report] = await deliverNow((event) => events.push(event));
    const size = first.size;
    expect(events).toEqual([
      { peer: 'FR2', backup: second.name, bytes: 400, total: size },
      { peer: 'FR2', backup: second.name, bytes: size, total: size },
      { peer: 'FR2', backup: first.name, bytes: 400, total: size },
      { peer: 'FR2', backup: first.name, bytes: size, total: size },
    ]);
    expect(report).toMatchObject({ outcome: Outcome.OUTCOME_DONE, bytes: 2 * (size - 400) });
  });

  it('ends at once when the run is interrupted, also while an earlier delivery hangs, and goes on later', async () => {
    fr2.instead = (_, signal) =>
      new Promise((_resolve, reject) => {
        signal.addEventListener('abort', () => reject(signal.reason));
      });
    await start(fr2);
    await until(() => fr2.tries === 1);
    const interrupt = new AbortController();
    const reports = outbox.deliverNow(() => {}, { stop: interrupt.signal, hurry: forever });
    interrupt.abort();
    expect((await reports)[0]).toMatchObject({ outcome: Outcome.OUTCOME_FAILED, problem: { kind: 'interrupted' } });
    fr2.instead = undefined;
    await clock.advance(minute);
    await until(async () => ((await outbox.status())[0]?.nextTryAtMs ?? 0) > 0);
    await clock.advance(minute);
    await caughtUp();
  });

  it('listens no longer for the end of a run that it has nothing more to bring for', async () => {
    await start(fr2);
    const enough = new AbortController().signal;
    await deliverNow(() => {}, enough);
    expect(getEventListeners(enough, 'abort')).toEqual([]);
  });

  it('knows which peers lack a backup', async () => {
    fr2.instead = unreachable;
    await start(fr2, us1);
    await until(() => us1.taken.length === 2);
    await until(async () => (await outbox.peersWithout(second)).length === 1);
    expect(await outbox.peersWithout(second)).toEqual(['FR2']);
  });

  it('follows peers that are added, removed, or come back with another identity', async () => {
    await start(fr2);
    await caughtUp();
    await outbox.follow([fr2, us1]);
    await caughtUp();
    expect(us1.taken).toHaveLength(2);
    expect(fr2.tries).toBe(2);

    const rebuilt = new TestPeer('FR2');
    await outbox.follow([rebuilt]);
    await caughtUp();
    expect(rebuilt.taken).toHaveLength(2);
    expect((await outbox.status()).map((peer) => peer.name)).toEqual(['FR2']);
    backups = [...backups, third];
    await deliverNow();
    expect(us1.taken).toHaveLength(2);
  });

  it('is not held up by a peer that is removed while it hangs', async () => {
    fr2.instead = () => new Promise(() => {});
    await start(fr2, us1);
    await until(() => fr2.tries === 1);
    await outbox.follow([us1]);
    await caughtUp();
    expect(fr2.taken).toEqual([]);
  });
});

it('gives up no push that waits for something of this server, though another part of it made progress meanwhile', async () => {
  const waiting = asFr2({
    async push(backup, options) {
      const turn = options.waitHere(clock.sleep(90_000));
      options.progress(1);
      await turn;
      return fr2.push(backup, options);
    },
  });
  await start();
  await outbox.follow([waiting]);
  expect(await clock.runUntil(deliverNow())).toMatchObject([{ owed: 0, problem: undefined }]);
});
