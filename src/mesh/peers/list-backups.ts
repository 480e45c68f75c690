import type { HeldBackup } from '../generated/anemone/backup/v1/backup.js';
import { Failure } from '../terms/failure.js';
import { callServerStream } from '../wire/calls.js';
import { peerService } from '../wire/chunks.js';
import { type Connection, controlPatience } from './connection.js';

/** Which backups to list; an empty string means all. */
export interface ListFilter {
  readonly owner: string;
  readonly set: string;
}

/** The longest list that is taken: 50 servers with 2,000 backups each are as many. */
const mostEntries = 100_000;
/** Bytes of all its manifests and receipts together. */
const mostBytes = 128 * 1024 * 1024;

/**
 * What a peer says that it holds. Nothing of it is verified yet.
 * @throws Failure `invalid`, naming the peer, for a list without an end
 */
export async function listBackups(
  connection: Connection,
  filter: ListFilter,
  signal?: AbortSignal,
): Promise<readonly HeldBackup[]> {
  const context = connection.context(controlPatience, signal);
  const held: HeldBackup[] = [];
  let bytes = 0;
  for await (const { backups } of callServerStream(connection.control, peerService.listBackups, filter, context)) {
    for (const backup of backups) bytes += sizeOf(backup);
    if (held.length + backups.length > mostEntries || bytes > mostBytes) {
      throw new Failure('invalid', `${context.whom} sends a list that does not end: after ${held.length} backups`);
    }
    held.push(...backups);
  }
  return held;
}

function sizeOf({ manifest, receipt }: HeldBackup): number {
  const signed = [manifest?.manifest, manifest?.signature, manifest?.certificate];
  const received = [receipt?.receipt, receipt?.signature, receipt?.certificate];
  return [...signed, ...received].reduce((sum, part) => sum + (part?.length ?? 0), 0);
}
