import { describe, expect, it } from 'vitest';
import { hashSize, leafSize } from '../../../src/mesh/manifest/digest-tree.js';
import { choose } from '../../../src/node/audit/choose.js';
import type { OwnBackup } from '../../../src/node/outbox/owed.js';

const backup = (sequence: number, size: number, set = 'backup'): OwnBackup => ({
  name: `${set}-${sequence}`,
  set,
  sequence,
  createdAt: sequence,
  size,
  digest: Buffer.alloc(32),
});
const never = (): number => 0;
const costOf = (choices: ReturnType<typeof choose>): number =>
  choices.reduce(
    (sum, choice) => sum + Math.ceil(choice.backup.size / leafSize) * hashSize + choice.samples * leafSize,
    0,
  );

describe('what is proven in a night', () => {
  it('is 460 leaves of the newest backup of 1 GB, for less than 40 MB', () => {
    const choices = choose([backup(7, 1e9)], never);
    expect(choices).toMatchObject([{ newest: true, samples: 460 }]);
    expect(costOf(choices)).toBeLessThan(40e6);
  });

  it('always is the newest of each set, with fewer leaves where there are many', () => {
    const sets = Array.from({ length: 12 }, (_, nth) => backup(1, 1e9, `set${nth}`));
    const choices = choose(sets, never);
    expect(choices.map((choice) => choice.backup.set).sort()).toEqual(sets.map(({ set }) => set).sort());
    expect(costOf(choices)).toBeLessThan(64 * 2 ** 20);
    for (const { samples } of choices) expect(samples).toBeGreaterThanOrEqual(16);
  });

  it('reaches every older backup in turn, within its bytes', () => {
    const all = Array.from({ length: 20 }, (_, nth) => backup(nth + 1, 1e9));
    const proven = new Map<string, number>();
    for (let night = 1; night <= 19; night += 1) {
      const choices = choose(all, ({ name }) => proven.get(name) ?? 0);
      expect(choices[0]).toMatchObject({ newest: true, backup: { sequence: 20 } });
      expect(costOf(choices)).toBeLessThan(64 * 2 ** 20);
      for (const choice of choices) proven.set(choice.backup.name, night);
    }
    expect(proven.size).toBe(20);
  });

  it('is at least one older backup, however large', () => {
    const choices = choose([backup(1, 100e9), backup(2, 100e9)], never);
    expect(choices.map(({ backup: { sequence } }) => sequence)).toEqual([2, 1]);
  });
});
