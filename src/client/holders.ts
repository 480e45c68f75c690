import type { HeldBackup } from '../mesh/generated/anemone/backup/v1/backup.js';
import type { Identity } from '../mesh/identity/identity.js';
import type { Connection } from '../mesh/peers/connection.js';
import { fetchBackup } from '../mesh/peers/fetch-backup.js';
import { type ListFilter, listBackups } from '../mesh/peers/list-backups.js';
import { describePeer } from '../mesh/peers/peer.js';
import type { Bytes } from '../mesh/terms/bytes.js';
import type { Hostname } from '../mesh/terms/hostname.js';

/** A server that may hold backups, as a survey asks it: a peer, or the own node. Nothing that it says is verified. */
export interface Holder {
  readonly name: Hostname;
  /** The host of a peer's address, or `local` for the own node. */
  readonly place: string;
  /** As messages name it: `FR2 (10.8.0.2:7443)`. */
  readonly described: string;
  /** Who must have signed its receipts. */
  readonly identity: Identity;
  list(filter: ListFilter, signal?: AbortSignal): Promise<readonly HeldBackup[]>;
  /** The bytes of a backup from an offset to the end. */
  fetch(name: string, offset: number, signal?: AbortSignal): Bytes;
}

export function peerHolder(connection: Connection): Holder {
  const { peer } = connection;
  return {
    name: peer.name,
    place: peer.address.host,
    described: describePeer(peer),
    identity: peer.identity,
    list: (filter, signal) => listBackups(connection, filter, signal),
    fetch: (name, offset, signal) => fetchBackup(connection, name, offset, signal),
  };
}
