import type { VerifiedManifest } from '../../mesh/manifest/manifest.js';

/**
 * What a peer is still to get: the server's own backups without those it gave a receipt for. Newest first, because after
 * a disaster the newest is worth most, and a link may be short-lived.
 * @param held file names of the backups that the peer has
 */
export function owed(backups: readonly VerifiedManifest[], held: ReadonlySet<string>): VerifiedManifest[] {
  return backups
    .filter((backup) => !held.has(backup.facts.name))
    .sort(
      (a, b) => b.name.time - a.name.time || b.facts.sequence - a.facts.sequence || (a.name.set < b.name.set ? -1 : 1),
    );
}
