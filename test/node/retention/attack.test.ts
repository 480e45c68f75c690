import { randomBytes } from 'node:crypto';
import { beforeEach, describe, expect, it } from 'vitest';
import { parseHostname } from '../../../src/mesh/terms/hostname.js';
import { sweep } from '../../../src/node/retention/sweep.js';
import type { Vault } from '../../../src/node/vault/vault.js';
import { backupOfFR2, FR2, identityOf, push, readAll, type VaultFixture } from '../vault/fixture.js';
import { temporaryVault } from '../vault/temporary-vault.js';

const day = 86_400_000;
const rules = { keepLast: 3, keepDaily: 2, keepWeekly: 1, keepMonthly: 6, minimumDays: 7 };
const content = randomBytes(3000);
const previousOf = (nth: number): Buffer => (nth === 0 ? Buffer.alloc(0) : randomBytes(32));
/** What the owner made on the nights before somebody stole its node key, oldest first. */
const good = Array.from({ length: 10 }, (_, nth) =>
  backupOfFR2(content, (nth + 5) * 86_400, { sequence: nth + 1, previous: previousOf(nth) }),
);

const lastOfNovember = good[2]?.facts.name ?? '';

let fixture: VaultFixture;
let vault: Vault;
beforeEach(async () => {
  fixture = await temporaryVault();
  vault = await fixture.open();
  // So that they came from the 28th of November on: what is older than a week lies in two months.
  fixture.clock.jump(5 * day);
  for (const manifest of good) {
    await push(vault, manifest, content);
    fixture.clock.jump(day);
  }
});
const night = () =>
  sweep({
    vault,
    rules: { local: rules, peers: rules },
    identityOf,
    clock: fixture.clock,
    history: { reports: async () => [], isCut: async () => false },
  });

const flood = async (count: number, changes: (nth: number) => Parameters<typeof backupOfFR2>[2]) => {
  const tiny = Buffer.from([7]);
  for (let nth = 0; nth < count; nth += 1) {
    await push(vault, backupOfFR2(tiny, 0, { sequence: nth + 100, previous: randomBytes(32), ...changes(nth) }), tiny);
  }
};

async function goodOnesLeft(): Promise<number> {
  let left = 0;
  for (const manifest of good.filter(({ facts }) => vault.find(facts.name) !== null)) {
    expect((await readAll(vault, manifest)).equals(content)).toBe(true);
    left += 1;
  }
  return left;
}

describe('whoever has the node key of an owner', () => {
  it.each([
    ['tiny backups of this very moment', (nth: number) => ({ createdAtMs: fixture.clock.now() + nth * 1000 })],
    [
      'backups that say they are of the year 2099',
      (nth: number) => ({ createdAtMs: Date.UTC(2099, 0, 1) + nth * 1000 }),
    ],
    [
      'backups that say they are of the year 1980',
      (nth: number) => ({ createdAtMs: Date.UTC(1980, 0, 1) + nth * 1000 }),
    ],
    [
      'backups with sequences far ahead',
      (nth: number) => ({ createdAtMs: fixture.clock.now() + nth * 1000, sequence: 2 ** 50 + nth }),
    ],
  ])('removes nothing of the last week by %s, and not all of what is older', async (_, changes) => {
    await flood(120, changes);
    await night();
    const recent = good.slice(-6).map(({ facts }) => facts.name);
    for (const name of recent) expect(vault.find(name), name).not.toBeNull();
    expect(vault.find(lastOfNovember), 'the last one of the month before').not.toBeNull();
    expect(await goodOnesLeft()).toBe(7);

    // After a month of such nights in which nobody noticed, the last good one of the month before is there.
    for (let nth = 0; nth < 30; nth += 1) {
      fixture.clock.jump(day);
      await flood(1, () => ({ createdAtMs: fixture.clock.now() + 5e9, sequence: 5000 + nth }));
      await night();
    }
    expect(await goodOnesLeft()).toBeGreaterThanOrEqual(1);
  });

  it('puts nothing in the place of what is held', async () => {
    const [first] = good;
    const other = randomBytes(3000);
    const forged = backupOfFR2(other, 5 * 86_400, { sequence: 1 });
    expect(forged.facts.name).toBe(first?.facts.name);
    await expect(vault.offer(FR2, forged)).rejects.toMatchObject({ kind: 'conflict' });
    expect(await goodOnesLeft()).toBe(10);
  });

  it('stores nothing in the name of another', async () => {
    const forged = backupOfFR2(content, 99);
    await expect(vault.offer(parseHostname('US1'), forged)).rejects.toMatchObject({ kind: 'forbidden' });
  });
});
