import type { SignedReceipt } from '../generated/anemone/backup/v1/backup.js';
import type { PushBackupRequest, Range } from '../generated/anemone/peer/v1/peer.js';
import type { VerifiedManifest } from '../manifest/manifest.js';
import type { Bytes } from '../terms/bytes.js';
import { Failure } from '../terms/failure.js';
import { bulkClientStream } from '../wire/bulk-calls.js';
import { pushBackupMethod } from '../wire/bulk-methods.js';
import { bulkPatience, type Connection } from './connection.js';
import { offerBackup, verifiedReceipt } from './offer-backup.js';
import { describePeer } from './peer.js';

/** Where the bytes of a backup come from and who hears of the progress. */
export interface PushOptions {
  /** Reads a range of the sealed file. Chunks are at most 1 MiB. */
  read(offset: number, length: number): Bytes;
  /** Told how many bytes of the backup the peer has, as far as they were handed to the network. */
  progress?(bytes: number): void;
  readonly signal?: AbortSignal;
}

/**
 * Gives a backup to a peer: offers it, sends what is missing, and returns the peer's verified receipt. What the peer has
 * already is not sent again.
 * @throws Failure that names the peer; nothing is acknowledged then
 */
export async function pushBackup(
  connection: Connection,
  manifest: VerifiedManifest,
  options: PushOptions,
): Promise<SignedReceipt> {
  const offer = await offerBackup(connection, manifest, options.signal);
  if ('held' in offer) return offer.held;
  let missing = offer.missing;
  while (true) {
    const [range] = missing;
    const before = total(missing);
    if (range === undefined || before > manifest.facts.size) throw notUnderstood(connection, manifest);
    const { answer } = await pushRange(connection, manifest, range, manifest.facts.size - before, options);
    if (answer?.$case === 'receipt') return verifiedReceipt(connection, answer.value, manifest);
    missing = answer?.value.ranges ?? [];
    // A peer that never has less to ask for would keep us sending for ever.
    if (total(missing) >= before) throw notUnderstood(connection, manifest);
  }
}

function pushRange(
  connection: Connection,
  manifest: VerifiedManifest,
  range: Range,
  alreadyThere: number,
  { read, progress, signal }: PushOptions,
) {
  async function* parts(): AsyncGenerator<PushBackupRequest> {
    yield { part: { $case: 'header', value: { manifestDigest: manifest.digest, range } } };
    let sent = 0;
    for await (const chunk of read(range.offset, range.length)) {
      yield { part: { $case: 'chunk', value: chunk } };
      sent += chunk.length;
      progress?.(alreadyThere + sent);
    }
    yield { part: { $case: 'end', value: {} } };
  }
  return bulkClientStream(connection.bulk, pushBackupMethod, parts(), connection.context(bulkPatience, signal));
}

function total(ranges: readonly Range[]): number {
  return ranges.reduce((sum, range) => sum + range.length, 0);
}

function notUnderstood({ peer }: Connection, manifest: VerifiedManifest): Failure {
  return new Failure('failed', `${describePeer(peer)} asks for parts of ${manifest.facts.name} that make no sense`);
}
