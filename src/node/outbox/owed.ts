import type { HeldEntry } from '../vault/held-entry.js';

/** A backup of this server in its own vault, as far as the outbox needs to know it. */
export type OwnBackup = Pick<HeldEntry, 'name' | 'set' | 'sequence' | 'createdAt' | 'size' | 'digest'>;

/**
 * What a peer is still to get: the server's own backups without those it gave a receipt for. Newest first, because after
 * a disaster the newest is worth most, and a link may be short-lived. What is begun comes before the newest of its set: over
 * a link that breaks more often than it can bring a backup, each night would begin another one, and none would arrive.
 * @param held file names of the backups that the peer has
 * @param begun file names of those of which it has a part
 */
export function owed(
  backups: readonly OwnBackup[],
  held: ReadonlySet<string>,
  begun: ReadonlySet<string> = new Set(),
): OwnBackup[] {
  const lacking = backups.filter(({ name }) => !held.has(name));
  const newest = new Map<string, number>();
  for (const { set, createdAt } of lacking) newest.set(set, Math.max(createdAt, newest.get(set) ?? 0));
  const turn = ({ name, set, createdAt }: OwnBackup): number => (begun.has(name) ? newest.get(set) : null) ?? createdAt;
  const rank = ({ name }: OwnBackup): number => (begun.has(name) ? 1 : 0);
  return lacking.sort(
    (a, b) => turn(b) - turn(a) || rank(b) - rank(a) || b.sequence - a.sequence || (a.set < b.set ? -1 : 1),
  );
}
