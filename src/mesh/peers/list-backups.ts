import type { HeldBackup } from '../generated/anemone/backup/v1/backup.js';
import { callServerStream } from '../wire/calls.js';
import { peerService } from '../wire/chunks.js';
import { type Connection, controlPatience } from './connection.js';

/** Which backups to list; an empty string means all. */
export interface ListFilter {
  readonly owner: string;
  readonly set: string;
}

/** What a peer says that it holds. Nothing of it is verified yet. */
export async function listBackups(
  connection: Connection,
  filter: ListFilter,
  signal?: AbortSignal,
): Promise<readonly HeldBackup[]> {
  const context = connection.context(controlPatience, signal);
  const held: HeldBackup[] = [];
  for await (const { backups } of callServerStream(connection.control, peerService.listBackups, filter, context)) {
    held.push(...backups);
  }
  return held;
}
