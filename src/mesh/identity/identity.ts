import { createPublicKey, type KeyObject } from 'node:crypto';
import { printable, redactSecrets } from '../terms/clean-text.js';
import { Failure } from '../terms/failure.js';

declare const brand: unique symbol;
/** A server's public identity key (raw Ed25519) in base64, 44 characters. Made by {@link parseIdentity}. */
export type Identity = string & { readonly [brand]: 'Identity' };

/** DER of a SubjectPublicKeyInfo for Ed25519 up to the 32 bytes of the key (RFC 8410, section 4). */
const ed25519SpkiPrefix = Buffer.from('302a300506032b6570032100', 'hex');

/**
 * The one parser of identities.
 * @throws Failure `invalid`, which shows no secret that was given in its place
 */
export function parseIdentity(text: string): Identity {
  const key = Buffer.from(text, 'base64');
  if (key.length !== 32 || key.toString('base64') !== text) {
    const shown = printable(redactSecrets(text.slice(0, 200)), 80);
    throw new Failure('invalid', `${JSON.stringify(shown)} is not an identity`, {
      hint: 'An identity is 44 characters of base64: copy what `anemone-peer identity` shows on that server.',
    });
  }
  return text as Identity;
}

/** @throws Failure `invalid` when there are not 32 bytes */
export function identityFromBytes(raw: Uint8Array): Identity {
  return parseIdentity(Buffer.from(raw).toString('base64'));
}

export function identityBytes(identity: Identity): Buffer {
  return Buffer.from(identity, 'base64');
}

export function identityKey(identity: Identity): KeyObject {
  const key = Buffer.concat([ed25519SpkiPrefix, identityBytes(identity)]);
  return createPublicKey({ key, format: 'der', type: 'spki' });
}

/** The 32 bytes of an Ed25519 public key. */
export function publicKeyBytes(key: KeyObject): Buffer {
  return key.export({ format: 'der', type: 'spki' }).subarray(ed25519SpkiPrefix.length);
}
