import type { OfferBackupRequest, OfferBackupResponse } from '../../mesh/generated/anemone/peer/v1/peer.js';
import { verifyManifest } from '../../mesh/manifest/manifest.js';
import { Failure } from '../../mesh/terms/failure.js';
import type { Vault } from '../vault/vault.js';
import type { Caller } from './callers.js';

/**
 * Decides about a backup before any byte of it is sent. The owner is the caller: a manifest of anyone else is refused,
 * whoever signed it.
 */
export async function offerBackup(
  vault: Vault,
  { manifest: signed }: OfferBackupRequest,
  caller: Caller,
): Promise<OfferBackupResponse> {
  if (signed === undefined) throw new Failure('invalid', 'the offer has no manifest');
  const manifest = verifyManifest(signed, caller.identity);
  if (manifest.name.owner !== caller.name) {
    throw new Failure('forbidden', `${caller.name} cannot store a backup of ${manifest.name.owner}`, {
      hint: `The peers of this server call you ${caller.name}; your configuration says ${manifest.name.owner}.`,
    });
  }
  const answer = await vault.offer(caller.name, manifest);
  return 'held' in answer
    ? { answer: { $case: 'held', value: answer.held } }
    : { answer: { $case: 'missing', value: { ranges: [...answer.missing] } } };
}
