import { createHash, createPrivateKey, createPublicKey, hkdfSync, type KeyObject, randomBytes } from 'node:crypto';
import { bech32 } from '@scure/base';
import { Failure } from '../terms/failure.js';
import { type Identity, identityFromBytes, publicKeyBytes } from './identity.js';

/** The one secret of a server: 256 random bits, written on paper and never on its disk. */
export interface RecoveryKey {
  readonly secret: Buffer;
}

/** What a recovery key is good for. */
export interface DerivedKeys {
  readonly identity: Identity;
  /** Ed25519; signs node certificates, and nothing else. */
  readonly identityKey: KeyObject;
  /** `AGE-SECRET-KEY-1…`; opens backups, also with the `age` program. */
  readonly ageIdentity: string;
}

const version = 1;
const salt = 'anemone-peer/v1';
/** Crockford's base32: no I, L, O, U. */
const alphabet = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';
/** One byte of version, 32 of key, 3 of checksum: 288 bits in 58 characters, the last of which carries 2 zero bits. */
const totalBytes = 36;
const totalCharacters = 58;
/** DER of a PKCS #8 Ed25519 private key up to its 32 bytes (RFC 8410, section 7). */
const ed25519Pkcs8Prefix = Buffer.from('302e020100300506032b657004220420', 'hex');

export function generateRecoveryKey(): RecoveryKey {
  return { secret: randomBytes(32) };
}

/** The key for paper: 58 characters in groups of six. */
export function formatRecoveryKey(key: RecoveryKey): string {
  const body = Buffer.concat([Buffer.from([version]), key.secret]);
  let bits = BigInt(`0x${Buffer.concat([body, checksum(body)]).toString('hex')}`) << 2n;
  let text = '';
  for (let i = 0; i < totalCharacters; i += 1) {
    text = alphabet.charAt(Number(bits & 31n)) + text;
    bits >>= 5n;
  }
  return text.replace(/.{6}(?=.)/g, '$&-');
}

/**
 * Reads a key as a person types it: any case, with or without hyphens and spaces, O for 0, I and L for 1.
 * @throws Failure `wrong-key`, which says whether the length, a character or the checksum is wrong; never the key
 */
export function parseRecoveryKey(text: string): RecoveryKey {
  const typed = charactersOf(text);
  if (typed.length !== totalCharacters) {
    throw mistyped(`it has ${typed.length} characters instead of ${totalCharacters}`);
  }
  let bits = 0n;
  for (const [index, character] of [...typed].entries()) {
    const value = alphabet.indexOf(character);
    if (value < 0) throw mistyped(`character ${index + 1} cannot occur in a recovery key`);
    bits = (bits << 5n) | BigInt(value);
  }
  const bytes = Buffer.from((bits >> 2n).toString(16).padStart(totalBytes * 2, '0'), 'hex');
  const body = bytes.subarray(0, 33);
  if ((bits & 3n) !== 0n || !checksum(body).equals(bytes.subarray(33))) {
    throw mistyped('its checksum does not match, so at least one character is wrong');
  }
  if (body[0] !== version) throw mistyped(`it is of version ${body[0]}, which this program does not know`);
  return { secret: Buffer.from(body.subarray(1)) };
}

/** How many characters are missing behind what may be the beginning of a key, or all of it; null for what is neither. */
export function missingFromKey(text: string): number | null {
  const typed = charactersOf(text);
  const missing = totalCharacters - typed.length;
  return missing < 0 || [...typed].some((character) => !alphabet.includes(character)) ? null : missing;
}

/** HKDF-SHA256 (RFC 5869) with the salt `anemone-peer/v1`, one label for each key. */
export function deriveKeys(key: RecoveryKey): DerivedKeys {
  const derive = (label: string): Buffer => Buffer.from(hkdfSync('sha256', key.secret, salt, label, 32));
  const identityKey = createPrivateKey({
    key: Buffer.concat([ed25519Pkcs8Prefix, derive('identity')]),
    format: 'der',
    type: 'pkcs8',
  });
  return {
    identity: identityFromBytes(publicKeyBytes(createPublicKey(identityKey))),
    identityKey,
    ageIdentity: bech32.encodeFromBytes('AGE-SECRET-KEY-', derive('age')).toUpperCase(),
  };
}

function charactersOf(text: string): string {
  return text.toUpperCase().replace(/[\s-]/g, '').replaceAll('O', '0').replace(/[IL]/g, '1');
}

function checksum(body: Buffer): Buffer {
  return createHash('sha256').update(`${salt} recovery key\0`).update(body).digest().subarray(0, 3);
}

function mistyped(why: string): Failure {
  return new Failure('wrong-key', `this is not a recovery key: ${why}`, {
    hint: 'Compare it with the paper, group by group.',
  });
}
