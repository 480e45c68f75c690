import type { SignedReceipt } from '../generated/anemone/backup/v1/backup.js';
import type { Range } from '../generated/anemone/peer/v1/peer.js';
import type { VerifiedManifest } from '../manifest/manifest.js';
import { verifyReceipt } from '../manifest/receipt.js';
import { Failure } from '../terms/failure.js';
import { callUnary } from '../wire/calls.js';
import { peerService } from '../wire/methods.js';
import type { Connection } from './connection.js';
import { describePeer } from './peer.js';

/** What a peer says to a backup: that it holds it (the receipt is verified), or what it still needs. */
export type OfferAnswer = { readonly held: SignedReceipt } | { readonly missing: readonly Range[] };

/** @throws Failure as the peer gave it: `no-space`, `conflict`, `untrusted`, … before any byte was sent */
export async function offerBackup(
  connection: Connection,
  manifest: VerifiedManifest,
  signal?: AbortSignal,
): Promise<OfferAnswer> {
  const request = { manifest: manifest.signed };
  const { answer } = await callUnary(connection.control, peerService.offerBackup, request, signal);
  if (answer?.$case === 'held') return { held: verifiedReceipt(connection, answer.value, manifest) };
  if (answer?.$case === 'missing') return { missing: answer.value.ranges };
  throw new Failure('failed', `${describePeer(connection.peer)} gave an answer to the offer that is not understood`);
}

/** @throws Failure `untrusted` when the peer did not sign it, or signed another */
export function verifiedReceipt(
  { peer }: Connection,
  receipt: SignedReceipt,
  manifest: VerifiedManifest,
): SignedReceipt {
  try {
    verifyReceipt(receipt, peer.identity, manifest.digest);
  } catch (thrown) {
    throw Failure.from(thrown).within(`${describePeer(peer)} sent a receipt for ${manifest.facts.name}`);
  }
  return receipt;
}
