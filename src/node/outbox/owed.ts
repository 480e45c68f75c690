/** A backup of this server in its own vault, as far as the outbox needs to know it. */
export interface OwnBackup {
  /** File name. */
  readonly name: string;
  readonly set: string;
  readonly sequence: number;
  /** By this server's clock, milliseconds since 1970. */
  readonly createdAt: number;
  /** Bytes. */
  readonly size: number;
  /** SHA-256 of the bytes of its manifest: what a receipt is for. */
  readonly digest: Buffer;
}

/**
 * What a peer is still to get: the server's own backups without those it gave a receipt for. Newest first, because after
 * a disaster the newest is worth most, and a link may be short-lived.
 * @param held file names of the backups that the peer has
 */
export function owed(backups: readonly OwnBackup[], held: ReadonlySet<string>): OwnBackup[] {
  return backups
    .filter((backup) => !held.has(backup.name))
    .sort((a, b) => b.createdAt - a.createdAt || b.sequence - a.sequence || (a.set < b.set ? -1 : 1));
}
