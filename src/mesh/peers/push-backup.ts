import type { SignedReceipt } from '../generated/anemone/backup/v1/backup.js';
import type { Range } from '../generated/anemone/peer/v1/peer.js';
import { isRangeOfLeaves } from '../manifest/digest-tree.js';
import type { VerifiedManifest } from '../manifest/manifest.js';
import { Failure } from '../terms/failure.js';
import type { Connection } from './connection.js';
import { offerBackup } from './offer-backup.js';
import { describePeer } from './peer.js';
import { type PushOptions, sendMissing } from './send-missing.js';

/** How often a peer is sent what it lacks, which is once where no connection breaks. */
const mostRounds = 16;

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
  const { name, size } = manifest.facts;
  let before = size + 1;
  for (let round = 0; ; round += 1) {
    const offer = await offerBackup(connection, manifest, options.signal);
    if ('held' in offer) return offer.held;
    const missing = bytesOf(offer.missing, size);
    // A peer that never has less to ask for, or a little less each time, would keep us sending for ever.
    if (!(missing > 0 && missing < before)) {
      throw new Failure('failed', `${describePeer(connection.peer)} asks for parts of ${name} that make no sense`);
    }
    if (round === mostRounds) {
      const what = `still lacks ${missing} bytes of ${name} after ${mostRounds} times of sending what it lacked`;
      throw new Failure('failed', `${describePeer(connection.peer)} ${what}`, {
        retryable: true,
        hint: 'Look at the link to it. The delivery is tried again by itself.',
      });
    }
    options.progress?.(size - missing);
    const receipt = await sendMissing(connection, manifest, offer.missing, options);
    if (receipt !== null) return receipt;
    before = missing;
  }
}

/** Bytes of ranges of leaves, each behind the one before; 0 when they are something else. */
function bytesOf(ranges: readonly Range[], size: number): number {
  let end = 0;
  let bytes = 0;
  for (const range of ranges) {
    if (!isRangeOfLeaves(range, size) || range.offset < end) return 0;
    end = range.offset + range.length;
    bytes += range.length;
  }
  return bytes;
}
