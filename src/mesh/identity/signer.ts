import { type KeyObject, sign, verify } from 'node:crypto';
import { Failure } from '../terms/failure.js';
import type { Identity } from './identity.js';
import { type NodeCertificate, verifyNodeCertificate } from './node-certificate.js';

/** What a signature is about. It is signed along, so that a receipt can never be passed off as a manifest. */
export type SigningContext = 'manifest' | 'receipt' | 'kit';

/** Signs for a server with its node key. */
export interface Signer {
  readonly identity: Identity;
  /** DER of the node certificate; travels with every signature. */
  readonly certificate: Buffer;
  sign(context: SigningContext, bytes: Uint8Array): Buffer;
}

export function nodeSigner(certificate: NodeCertificate, nodeKey: KeyObject): Signer {
  return {
    identity: certificate.identity,
    certificate: certificate.der,
    sign: (context, bytes) => sign(null, signedBytes(context, bytes), nodeKey),
  };
}

/**
 * Proves that a server with this identity signed the bytes.
 * @returns the certificate of the node key that did
 * @throws Failure `untrusted`
 */
export function verifySignature(
  context: SigningContext,
  signed: { readonly bytes: Uint8Array; readonly signature: Uint8Array; readonly certificate: Uint8Array },
  identity: Identity,
): NodeCertificate {
  const certificate = verifyNodeCertificate(signed.certificate, identity);
  if (!verify(null, signedBytes(context, signed.bytes), certificate.publicKey, signed.signature)) {
    throw new Failure('untrusted', `the signature of the ${context} does not match`);
  }
  return certificate;
}

function signedBytes(context: SigningContext, bytes: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from(`anemone-peer/v1 ${context}\0`), bytes]);
}
