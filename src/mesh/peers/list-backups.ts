import type { HeldBackup, SignedManifest } from '../generated/anemone/backup/v1/backup.js';
import { PeerServiceService } from '../generated/anemone/peer/v1/peer.js';
import { Failure } from '../terms/failure.js';
import { callServerStream } from '../wire/calls.js';
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
 * What a peer says that it holds, page by page. Nothing of it is verified yet.
 * @throws Failure `invalid`, naming the peer, for a list without an end
 */
export async function* listPages(
  connection: Connection,
  filter: ListFilter,
  signal?: AbortSignal,
): AsyncGenerator<readonly HeldBackup[]> {
  const context = connection.context(controlPatience, signal);
  let entries = 0;
  let bytes = 0;
  for await (const { backups } of callServerStream(
    connection.control,
    PeerServiceService.listBackups,
    filter,
    context,
  )) {
    for (const backup of backups) bytes += sizeOf(backup);
    if (entries + backups.length > mostEntries || bytes > mostBytes) {
      throw new Failure('invalid', `${context.whom} sends a list that does not end: after ${entries} backups`);
    }
    entries += backups.length;
    yield backups;
  }
}

/** All pages of {@link listPages} together. */
export async function listBackups(
  connection: Connection,
  filter: ListFilter,
  signal?: AbortSignal,
): Promise<readonly HeldBackup[]> {
  const held: HeldBackup[] = [];
  for await (const page of listPages(connection, filter, signal)) held.push(...page);
  return held;
}

function sizeOf({ manifest, receipt }: HeldBackup): number {
  const signed = manifest === undefined ? 0 : manifest.manifest.length + lengthOf(manifest);
  return signed + (receipt === undefined ? 0 : receipt.receipt.length + lengthOf(receipt));
}

function lengthOf({ signature, certificate }: Pick<SignedManifest, 'signature' | 'certificate'>): number {
  return signature.length + certificate.length;
}
