import type { HeldBackup, SignedManifest } from '../../mesh/generated/anemone/backup/v1/backup.js';
import type { VerifiedManifest } from '../../mesh/manifest/manifest.js';
import type { Connection } from '../../mesh/peers/connection.js';
import { type ByteRange, fetchBackup } from '../../mesh/peers/fetch-backup.js';
import { fetchLeaves } from '../../mesh/peers/fetch-leaves.js';
import { getNode } from '../../mesh/peers/get-node.js';
import { type ListFilter, listBackups } from '../../mesh/peers/list-backups.js';
import { proveBackup } from '../../mesh/peers/prove-backup.js';
import type { Bytes } from '../../mesh/terms/bytes.js';
import type { Holder } from '../outbox/receipts.js';
import type { Prover } from './challenge.js';

/** What a peer says of the backups of this server that it holds. */
export interface Standing {
  /** File names of those that it found damaged itself, and that it was not sent again. */
  readonly damaged: readonly string[];
  /** Of each set the one with the highest number; none from version 0.1.0. Nothing is proven yet. */
  readonly newest: readonly SignedManifest[];
  /** Undefined from version 0.1.0, which does not tell it. */
  readonly minimum: Minimum | undefined;
}

/** For how long the retention of a peer removes nothing that it has received. */
export interface Minimum {
  readonly days: number;
  /** What its clock shows as it says so, milliseconds since 1970. */
  readonly saidAt: number;
}

/** More is not looked at: a liar could fill a message with what takes long to disprove. */
const mostDamaged = 1000;
const mostSets = 100;

/** What an audit asks of a peer. */
export interface AuditedPeer extends Holder, Prover {
  standing(signal: AbortSignal): Promise<Standing>;
  list(filter: ListFilter, signal: AbortSignal): Promise<readonly HeldBackup[]>;
  /** A range of a backup, also of another server's: the digest of its manifest stands for the permission. */
  fetch(manifest: VerifiedManifest, range: ByteRange, signal: AbortSignal): Bytes;
}

/** A peer over its connection. */
export function auditedPeer(connection: Connection): AuditedPeer {
  const { name, identity } = connection.peer;
  return {
    name,
    identity,
    async standing(signal) {
      const told = await getNode(connection, signal, { newestBackups: true });
      const { minimumDays, timeMs } = told;
      return {
        damaged: told.damaged.slice(0, mostDamaged),
        newest: told.newestBackups.slice(0, mostSets),
        minimum: minimumDays === undefined ? undefined : { days: minimumDays.peers, saidAt: timeMs },
      };
    },
    list: (filter, signal) => listBackups(connection, filter, signal),
    fetch: ({ facts, digest }, range, signal) => fetchBackup(connection, facts.name, range, signal, digest),
    leaves: ({ facts, digest }, signal) => fetchLeaves(connection, facts.name, { manifestDigest: digest }, signal),
    prove: (backup, leaves, signal) => proveBackup(connection, backup, leaves, signal),
  };
}
