import { Receipt, type SignedReceipt } from '../generated/anemone/backup/v1/backup.js';
import { type Identity, identityBytes, identityFromBytes } from '../identity/identity.js';
import type { NodeCertificate } from '../identity/node-certificate.js';
import { type Signer, verifySignature } from '../identity/signer.js';
import { Failure } from '../terms/failure.js';

/** Longest receipt that is read, in bytes; one that this program writes has about 80. */
const longestReceipt = 1024;

/** @param facts.receivedAt milliseconds since 1970, by the holder's clock */
export function signReceipt(
  facts: { readonly manifestDigest: Buffer; readonly receivedAt: number },
  signer: Signer,
): SignedReceipt {
  const receipt = Buffer.from(
    Receipt.encode({
      manifestDigest: facts.manifestDigest,
      identity: identityBytes(signer.identity),
      receivedAtMs: facts.receivedAt,
    }).finish(),
  );
  return { receipt, signature: signer.sign('receipt', receipt), certificate: signer.certificate };
}

/**
 * Believes that a holder keeps the backup with this manifest, or says why not.
 * @param holder the identity pinned for the peer; never from the message
 * @returns when it was received, by the holder's clock, and the certificate of the node key that signed it
 * @throws Failure `untrusted` when another signed it, or for another backup
 */
export function verifyReceipt(
  signed: SignedReceipt,
  holder: Identity,
  manifestDigest: Uint8Array,
): { readonly receivedAt: number; readonly certificate: NodeCertificate } {
  if (signed.receipt.length > longestReceipt) throw new Failure('damaged', 'the receipt is too long');
  const certificate = verifySignature('receipt', { ...signed, bytes: signed.receipt }, holder);
  return { ...readReceipt(signed, holder, manifestDigest), certificate };
}

/**
 * What a receipt says, for whoever has the holder's word by another proof: its signature is not checked.
 * @throws Failure `untrusted` when it names another holder or another backup, `damaged`
 */
export function readReceipt(
  signed: SignedReceipt,
  holder: Identity,
  manifestDigest: Uint8Array,
): { readonly receivedAt: number } {
  if (signed.receipt.length > longestReceipt) throw new Failure('damaged', 'the receipt is too long');
  const facts = decode(signed.receipt);
  if (!identityBytes(holder).equals(facts.identity)) {
    throw new Failure('untrusted', 'the receipt names another holder than its signer');
  }
  if (Buffer.compare(facts.manifestDigest, manifestDigest) !== 0) {
    throw new Failure('untrusted', 'the receipt is for another backup');
  }
  return { receivedAt: facts.receivedAtMs };
}

/**
 * Whom a receipt names as the holder. Nothing is proven by it: it is for a server that looks at receipts of its own, also of
 * an identity that it had before.
 * @throws Failure `damaged` or `invalid`
 */
export function namedHolder(signed: SignedReceipt): Identity {
  return identityFromBytes(decode(signed.receipt).identity);
}

function decode(bytes: Uint8Array): Receipt {
  try {
    return Receipt.decode(bytes);
  } catch (cause) {
    throw new Failure('damaged', 'the receipt cannot be read', { cause });
  }
}
