import { describe, expect, it } from 'vitest';
import { formatBackupName } from '../../../src/mesh/terms/backup-name.js';
import { parseHostname } from '../../../src/mesh/terms/hostname.js';
import { type OwnBackup, owed } from '../../../src/node/outbox/owed.js';

const night = (day: number, set = 'backup'): OwnBackup => {
  const createdAt = Date.UTC(2026, 10, day, 1);
  const name = formatBackupName({ owner: parseHostname('FR1'), set, time: createdAt });
  return { name, set, sequence: day, createdAt, size: 1000, digest: Buffer.alloc(32, day) };
};
const names = (backups: ReturnType<typeof owed>): string[] => backups.map((backup) => backup.name);

describe('what is owed', () => {
  const backups = [night(21), night(23), night(22)];

  it('is every backup without a receipt, newest first', () => {
    expect(names(owed(backups, new Set([night(22).name])))).toEqual([
      'anemone-backup-FR1-20261123-010000.enc',
      'anemone-backup-FR1-20261121-010000.enc',
    ]);
  });
  it('is everything to a peer that has nothing, and nothing to one that has all', () => {
    expect(owed(backups, new Set())).toHaveLength(3);
    expect(owed(backups, new Set(backups.map((backup) => backup.name)))).toEqual([]);
  });
  it('takes the sets of one second in the order of their names', () => {
    const sets = owed([night(22, 'photos'), night(22, 'db')], new Set());
    expect(sets.map((backup) => backup.set)).toEqual(['db', 'photos']);
  });
  it('begins with what is half sent before the newest of its set, but not before what is newer of others', () => {
    const kit = { ...night(23, 'kit'), createdAt: night(23).createdAt + 1000 };
    const all = [...backups, kit, night(22, 'photos')];
    expect(names(owed(all, new Set(), new Set([night(21).name])))).toEqual([
      kit.name,
      night(21).name,
      night(23).name,
      night(22).name,
      night(22, 'photos').name,
    ]);
  });
  it('leaves the list it was given as it was', () => {
    const before = names(backups);
    owed(backups, new Set());
    expect(names(backups)).toEqual(before);
  });
});
