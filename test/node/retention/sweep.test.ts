import { describe, expect, it } from 'vitest';
import type { KeepRules } from '../../../src/mesh/config/config.js';
import { Failure } from '../../../src/mesh/terms/failure.js';
import { type Hostname, parseHostname } from '../../../src/mesh/terms/hostname.js';
import { type SweptBackup, type SweptVault, sweep } from '../../../src/node/retention/sweep.js';
import { FakeClock } from '../../support/fake-clock.js';
import { throwawayServer } from '../../support/identities.js';

const day = 86_400_000;
const clock = new FakeClock('2026-11-30T12:00:00Z');
const last = (keepLast: number): KeepRules => ({
  keepLast,
  keepDaily: 0,
  keepWeekly: 0,
  keepMonthly: 0,
  minimumDays: 0,
});
const { identity } = throwawayServer();
const rules = { local: last(2), peers: last(1) };
const identityOf = (owner: Hostname) => (owner === 'FR1' || owner === 'FR2' ? identity : null);

function backup(name: string, age: number, changes: Partial<SweptBackup> = {}): SweptBackup {
  const time = clock.now() - age * day;
  const owner = parseHostname('FR1');
  return {
    name,
    owner,
    set: 'backup',
    own: true,
    sequence: 1000 - age,
    createdAt: time,
    receivedAt: null,
    identity,
    ...changes,
  };
}

function received(name: string, age: number, changes: Partial<SweptBackup> = {}): SweptBackup {
  return backup(name, age, {
    owner: parseHostname('FR2'),
    own: false,
    receivedAt: clock.now() - age * day,
    ...changes,
  });
}

/** A vault that is a list of backups. */
class ListedVault implements SweptVault {
  backups: SweptBackup[];
  tidied = 0;
  /** File names of backups whose manifests are found damaged. */
  damaged: readonly string[] = [];
  constructor(...backups: SweptBackup[]) {
    this.backups = backups;
  }
  list(): SweptBackup[] {
    return [...this.backups];
  }
  async prove(_owner: Hostname): Promise<void> {
    this.backups = this.backups.filter(({ name }) => !this.damaged.includes(name));
  }
  async remove(name: string): Promise<void> {
    if (name.startsWith('stuck'))
      throw new Failure('no-space', 'the disk says no', { hint: 'Ask it.', retryable: true });
    this.backups = this.backups.filter((held) => held.name !== name);
  }
  async tidy(): Promise<void> {
    this.tidied += 1;
  }
}

const runAt = (at: number) => ({ startedAtMs: at, finishedAtMs: at });
const history = { reports: async () => [runAt(clock.now() - day)], isCut: async () => false };

function run(vault: SweptVault) {
  return sweep({ vault, rules, identityOf, clock, history });
}

describe('a sweep', () => {
  it('counts own backups by the local rules and those of peers by the rules for peers', async () => {
    const vault = new ListedVault(
      ...[0, 1, 2].map((age) => backup(`own-${age}`, age)),
      ...[0, 1, 2].map((age) => received(`peer-${age}`, age)),
    );
    expect(await run(vault)).toEqual({ removed: ['own-2', 'peer-1', 'peer-2'], failures: [] });
    expect(vault.list().map(({ name }) => name)).toEqual(['own-0', 'own-1', 'peer-0']);
  });

  it('leaves an own backup of which a peer has a part', async () => {
    const vault = new ListedVault(...[0, 1, 2, 3].map((age) => backup(`own-${age}`, age)));
    const isHalfway = (name: string) => name === 'own-3';
    const swept = await sweep({ vault, rules, identityOf, clock, history, isHalfway });
    expect(swept.removed).toEqual(['own-2']);
  });

  it('removes nothing by a clock that has jumped', async () => {
    const vault = new ListedVault(...[0, 1, 2].map((age) => backup(`own-${age}`, age)));
    const past = { ...history, reports: async () => [runAt(clock.now() - 365 * day)] };
    const jumped = sweep({ vault, rules, identityOf, clock, history: past });
    await expect(jumped).rejects.toThrow('the last run was 365 days ago');
    expect(vault.list()).toHaveLength(3);
    expect(vault.tidied).toBe(0);
  });

  it('goes by the time that it began with: one that the clock jumps to meanwhile was not judged', async () => {
    const vault = new ListedVault(...[0, 1, 2].map((age) => backup(`own-${age}`, age)));
    const jumping = {
      ...history,
      async isCut() {
        clock.jump(365 * day);
        return false;
      },
    };
    const young = { ...rules, local: { ...last(2), minimumDays: 30 } };
    const swept = sweep({ vault, rules: young, identityOf, clock, history: jumping });
    expect(await swept.finally(() => clock.jump(-365 * day))).toEqual({ removed: [], failures: [] });
  });

  it('counts each set of each owner for itself', async () => {
    const vault = new ListedVault(
      received('a', 0),
      received('b', 1, { set: 'db' }),
      backup('c', 2),
      backup('d', 3, { set: 'db' }),
    );
    expect((await run(vault)).removed).toEqual([]);
  });

  it('counts what peers sent by the time of receipt: a forged time of their own takes no place from others', async () => {
    const vault = new ListedVault(
      received('first', 3, { createdAt: clock.now() + 1000 * day }),
      received('second', 2),
      received('third', 1, { createdAt: 0 }),
    );
    expect((await run(vault)).removed).toEqual(['first']);
  });

  it('leaves alone what belongs to no peer, or was not verified', async () => {
    const stranger = { owner: parseHostname('OLD') };
    const vault = new ListedVault(
      received('a', 1, stranger),
      received('b', 2, stranger),
      received('c', 1),
      received('d', 2, { identity: null }),
    );
    expect((await run(vault)).removed).toEqual([]);
  });

  it('goes on when one backup cannot be removed, and names it', async () => {
    const vault = new ListedVault(received('new', 0), received('stuck', 1), received('old', 2));
    const { removed, failures } = await run(vault);
    expect(removed).toEqual(['old']);
    expect(failures).toEqual([expect.any(Failure)]);
    expect(failures[0]).toMatchObject({
      kind: 'no-space',
      message: 'stuck could not be removed: the disk says no',
      hint: 'Ask it.',
      retryable: true,
    });
    expect(vault.tidied).toBe(1);
  });

  it('removes nothing in favour of a backup whose manifest is damaged', async () => {
    const vault = new ListedVault(received('newest', 0), received('older', 1), received('oldest', 2));
    vault.damaged = ['newest'];
    expect((await run(vault)).removed).toEqual(['oldest']);
  });

  it('removes nothing while the manifests cannot be proven, and says so', async () => {
    const vault = new ListedVault(received('new', 0), received('old', 1));
    vault.prove = () => Promise.reject(new Failure('failed', 'too many open files'));
    const { removed, failures } = await run(vault);
    expect(removed).toEqual([]);
    expect(failures.map(({ message }) => message)).toEqual([
      'the manifests of FR2 could not be proven, so nothing of it is removed: too many open files',
    ]);
    expect(vault.tidied).toBe(1);
  });

  it('keeps to the rules for the others when the manifests of one owner cannot be proven', async () => {
    const ages = [0, 1, 2];
    const vault = new ListedVault(
      ...ages.map((age) => received(`peer-${age}`, age)),
      ...ages.map((age) => backup(`own-${age}`, age)),
    );
    const unreadable = new Failure('failed', 'the disk cannot read one of them');
    vault.prove = async (owner) => {
      if (owner === 'FR2') throw unreadable;
    };
    const { removed, failures } = await run(vault);
    expect(removed).toEqual(['own-2']);
    expect(failures).toHaveLength(1);
  });

  it('leaves what another identity signed that had the name of a peer before', async () => {
    const other = throwawayServer().identity;
    const vault = new ListedVault(
      ...[0, 1, 2].map((age) => received(`new-${age}`, age)),
      ...[3, 4, 5].map((age) => received(`old-${age}`, age, { identity: other })),
    );
    await run(vault);
    expect(vault.backups.map(({ name }) => name)).toEqual(['new-0', 'old-3', 'old-4', 'old-5']);
  });

  it('reports an expiry of uploads that failed', async () => {
    const vault = new ListedVault();
    vault.tidy = () => Promise.reject(new Error('the disk says no'));
    expect((await run(vault)).failures).toHaveLength(1);
  });
});

describe('an attacker with the node key of an owner', () => {
  const limits = { keepLast: 3, keepDaily: 7, keepWeekly: 4, keepMonthly: 6, minimumDays: 7 };
  const sweepAll = (vault: SweptVault) =>
    sweep({ vault, rules: { local: limits, peers: limits }, identityOf, clock, history });
  const good = Array.from({ length: 30 }, (_, age) => received(`good-${age}`, age + 0.5));

  it('pushes out no backup of the last days by a flood of new ones, whatever times and sequences it signs', async () => {
    const flood = Array.from({ length: 2000 }, (_, nth) =>
      received(`flood-${nth}`, nth / 5000, { createdAt: nth % 2 === 0 ? 0 : 8.64e15, sequence: nth + 5000 }),
    );
    const vault = new ListedVault(...good, ...flood);
    await sweepAll(vault);
    const left = new Set(vault.backups.map(({ name }) => name));
    for (const { name, receivedAt } of good) {
      if (clock.now() - (receivedAt ?? 0) < 7 * day) expect(left, name).toContain(name);
    }
  });

  it('takes no older backup away than the rules would without the flood, but those of its own days', async () => {
    const calm = new ListedVault(...good);
    const flooded = new ListedVault(
      ...good,
      ...Array.from({ length: 500 }, (_, nth) => received(`f-${nth}`, nth / 5000)),
    );
    await sweepAll(calm);
    await sweepAll(flooded);
    const survivors = flooded.backups.filter(({ name }) => name.startsWith('good')).map(({ name }) => name);
    const lostToFlood = calm.backups.map(({ name }) => name).filter((name) => !survivors.includes(name));
    expect(lostToFlood.length).toBeLessThanOrEqual(1);
  });

  it('takes no older backup away by what says that it is of the days before, and comes out of turn', async () => {
    const calm = new ListedVault(...good);
    const strays = Array.from({ length: 60 }, (_, nth) =>
      received(`stray-${nth}`, nth / 5000, { createdAt: clock.now() - nth * 0.5 * day, sequence: 9000 + nth }),
    );
    const flooded = new ListedVault(...good, ...strays);
    await sweepAll(calm);
    await sweepAll(flooded);
    const survivors = flooded.backups.map(({ name }) => name);
    expect(survivors).toEqual(expect.arrayContaining(calm.backups.map(({ name }) => name)));
  });

  it('and forged sequences cannot make the backup that came last go, nor the one with the highest sequence', async () => {
    const vault = new ListedVault(
      received('last-to-come', 20, { sequence: 1 }),
      received('highest', 60, { sequence: 9_000_000 }),
      received('other', 90, { sequence: 2 }),
    );
    await sweep({ vault, rules, identityOf, clock, history });
    expect(vault.backups.map(({ name }) => name)).toEqual(['last-to-come', 'highest']);
  });
});
