import type { HeldBackup } from '../../mesh/generated/anemone/backup/v1/backup.js';
import type { Connection } from '../../mesh/peers/connection.js';
import { fetchBackup } from '../../mesh/peers/fetch-backup.js';
import { fetchLeaves } from '../../mesh/peers/fetch-leaves.js';
import { getNode } from '../../mesh/peers/get-node.js';
import { type ListFilter, listBackups } from '../../mesh/peers/list-backups.js';
import { proveBackup } from '../../mesh/peers/prove-backup.js';
import type { Bytes } from '../../mesh/terms/bytes.js';
import type { Holder } from '../outbox/receipts.js';
import type { Prover } from './prove.js';

/** What an audit asks of a peer. */
export interface AuditedPeer extends Holder, Prover {
  /** File names of this server's backups that the peer found damaged itself, and that it was not sent again. */
  damaged(signal: AbortSignal): Promise<readonly string[]>;
  list(filter: ListFilter, signal: AbortSignal): Promise<readonly HeldBackup[]>;
  fetch(name: string, signal: AbortSignal): Bytes;
}

/** A peer over its connection. */
export function auditedPeer(connection: Connection): AuditedPeer {
  const { name, identity } = connection.peer;
  return {
    name,
    identity,
    damaged: async (signal) => (await getNode(connection, signal)).damaged,
    list: (filter, signal) => listBackups(connection, filter, signal),
    fetch: (backup, signal) => fetchBackup(connection, backup, { offset: 0, length: 0 }, signal),
    leaves: (backup, signal) => fetchLeaves(connection, backup, signal),
    prove: (backup, leaves, signal) => proveBackup(connection, backup, leaves, signal),
  };
}
