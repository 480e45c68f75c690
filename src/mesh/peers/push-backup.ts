import type { SignedReceipt } from '../generated/anemone/backup/v1/backup.js';
import type { VerifiedManifest } from '../manifest/manifest.js';
import { Failure } from '../terms/failure.js';
import type { Connection } from './connection.js';
import { offerBackup } from './offer-backup.js';
import { describePeer } from './peer.js';
import { type PushOptions, sendMissing } from './send-missing.js';

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
  for (let before = size + 1; ; ) {
    const offer = await offerBackup(connection, manifest, options.signal);
    if ('held' in offer) return offer.held;
    const missing = offer.missing.reduce((sum, range) => sum + range.length, 0);
    // A peer that never has less to ask for would keep us sending for ever.
    if (!(missing > 0 && missing < before)) {
      throw new Failure('failed', `${describePeer(connection.peer)} asks for parts of ${name} that make no sense`);
    }
    const receipt = await sendMissing(connection, manifest, offer.missing, options);
    if (receipt !== null) return receipt;
    before = missing;
  }
}
