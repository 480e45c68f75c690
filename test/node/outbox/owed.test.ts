import { describe, expect, it } from 'vitest';
import { owed } from '../../../src/node/outbox/owed.js';
import { throwawayServer } from '../../support/identities.js';
import { manifestOf } from '../../support/manifests.js';

const { signer } = throwawayServer();
const content = Buffer.from('sealed');
const night = (day: number, set = 'backup') =>
  manifestOf(content, signer, {
    createdAtMs: Date.UTC(2026, 10, day, 1),
    sequence: day,
    previous: Buffer.alloc(32),
    set,
  });
const names = (backups: ReturnType<typeof owed>): string[] => backups.map((backup) => backup.facts.name);

describe('what is owed', () => {
  const backups = [night(21), night(23), night(22)];

  it('is every backup without a receipt, newest first', () => {
    expect(names(owed(backups, new Set([night(22).facts.name])))).toEqual([
      'anemone-backup-FR1-20261123-010000.enc',
      'anemone-backup-FR1-20261121-010000.enc',
    ]);
  });
  it('is everything to a peer that has nothing, and nothing to one that has all', () => {
    expect(owed(backups, new Set())).toHaveLength(3);
    expect(owed(backups, new Set(backups.map((backup) => backup.facts.name)))).toEqual([]);
  });
  it('takes the sets of one second in the order of their names', () => {
    const sets = owed([night(22, 'photos'), night(22, 'db')], new Set());
    expect(sets.map((backup) => backup.name.set)).toEqual(['db', 'photos']);
  });
  it('leaves the list it was given as it was', () => {
    const before = names(backups);
    owed(backups, new Set());
    expect(names(backups)).toEqual(before);
  });
});
