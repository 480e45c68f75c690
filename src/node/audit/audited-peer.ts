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
}

/** More is not looked at: a liar could fill a message with what takes long to disprove. */
const mostDamaged = 1000;
const mostSets = 100;

const day = 86_400_000;
const mostDays = 7;

/** What an audit asks of a peer. */
export interface AuditedPeer extends Holder, Prover {
  standing(signal: AbortSignal): Promise<Standing>;
  /**
   * By its own clock, milliseconds since 1970: what it received later, its retention has not removed. A day is left for rules that
   * were just changed, and more than a week is not relied on: they may have said less until then. Infinity from version 0.1.0,
   * which does not tell it.
   */
  keptSince(signal: AbortSignal): Promise<number>;
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
      const { damaged, newestBackups } = await getNode(connection, signal, { newestBackups: true });
      return { damaged: damaged.slice(0, mostDamaged), newest: newestBackups.slice(0, mostSets) };
    },
    async keptSince(signal) {
      const { timeMs, minimumDays } = await getNode(connection, signal);
      if (minimumDays === undefined) return Number.POSITIVE_INFINITY;
      return timeMs - (Math.min(minimumDays.peers, mostDays) - 1) * day;
    },
    list: (filter, signal) => listBackups(connection, filter, signal),
    fetch: ({ facts, digest }, range, signal) => fetchBackup(connection, facts.name, range, signal, digest),
    leaves: ({ facts, digest }, signal) => fetchLeaves(connection, facts.name, { manifestDigest: digest }, signal),
    prove: (backup, leaves, signal) => proveBackup(connection, backup, leaves, signal),
  };
}
