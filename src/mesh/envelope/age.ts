import { randomBytes } from 'node:crypto';
import { Decrypter, Encrypter, type Stanza } from 'age-encryption';
import type { Bytes, LentBytes } from '../terms/bytes.js';
import { Failure } from '../terms/failure.js';
import { dearmor } from './age-armor.js';
import { isArmoredAge } from './age-magic.js';
import { openPayload, payloadKey, payloadNonceSize, sealPayload } from './age-payload.js';
import type { EnvelopeKeys, Sealer } from './envelope.js';
import { type PeekedBytes, peek } from './peek.js';

/** The longest header that is opened, in bytes: room for about 500 recipients, and nothing for a bomb. */
const longestHeader = 64 * 1024;

/** Bytes of the beginning of a file that {@link openAge} needs. */
export const ageHeadSize = longestHeader + payloadNonceSize;

/**
 * @param recipients Public keys, `age1…`, as the configuration has checked them; each of them alone opens what is sealed.
 * @throws Failure `config` when there is none
 */
export function ageSealer(recipients: readonly string[]): Sealer {
  if (recipients.length === 0) {
    throw new Failure('config', 'no age recipient is configured, so that nobody could open a backup', {
      hint: 'Add at least one age1… public key to backup.encryption.recipients.',
    });
  }
  return { format: 'age', seal: (plaintext) => sealed(plaintext, recipients) };
}

async function* sealed(plaintext: Bytes, recipients: readonly string[]): AsyncGenerator<Uint8Array, void> {
  const { header, fileKey } = await makeHeader(recipients);
  const nonce = randomBytes(payloadNonceSize);
  yield Buffer.concat([header, nonce]);
  yield* sealPayload(plaintext, payloadKey(fileKey, nonce));
}

/** The library makes the header of an empty file; a recipient without a stanza takes note of the file key. */
async function makeHeader(recipients: readonly string[]): Promise<{ header: Uint8Array; fileKey: Uint8Array }> {
  let fileKey = new Uint8Array();
  const encrypter = new Encrypter();
  encrypter.addRecipient({
    wrapFileKey: (key) => {
      fileKey = Uint8Array.from(key);
      return [];
    },
  });
  for (const recipient of recipients) encrypter.addRecipient(recipient);
  try {
    const file = await encrypter.encrypt(new Uint8Array());
    const emptyPayload = payloadNonceSize + 16;
    return { header: file.subarray(0, file.length - emptyPayload), fileKey };
  } catch (cause) {
    throw new Failure('config', `no key can be wrapped for the age recipients ${recipients.join(', ')}`, { cause });
  }
}

/**
 * The plaintext of an age file, in binary or in armor; the caller releases the file when this throws. A wrong key and a
 * damaged header are known before it resolves. A damaged key stanza looks like somebody else's, and is a wrong key.
 * @throws Failure `wrong-key` | `damaged` | `config` (a key that is none)
 */
export async function openAge(file: PeekedBytes, keys: EnvelopeKeys): Promise<Bytes> {
  const start = await withoutArmor(file);
  const size = headerSize(start.head);
  const fileKey = await openHeader(start.head.subarray(0, size), keys);
  const payloadStart = size + payloadNonceSize;
  if (start.head.length < payloadStart) throw damagedHeader('the file ends right after it');
  const nonce = start.head.subarray(size, payloadStart);
  return openPayload(start.from(payloadStart), payloadKey(fileKey, nonce));
}

/**
 * Whether an age file opens with a passphrase, and with no key. The file is read no further than that, and released.
 * @throws Failure `damaged`
 */
export async function opensWithPassphrase(ciphertext: LentBytes): Promise<boolean> {
  const file = await peek(ciphertext, ageHeadSize);
  try {
    const { head } = await withoutArmor(file);
    return head.subarray(0, headerSize(head)).includes('\n-> scrypt ');
  } finally {
    await file.release();
  }
}

async function withoutArmor(file: PeekedBytes): Promise<PeekedBytes> {
  return isArmoredAge(file.head) ? peek(dearmor(file.from(0)), ageHeadSize) : file;
}

/** The header ends with its only line that starts with `---`. */
function headerSize(head: Buffer): number {
  const lastLine = head.indexOf('\n---');
  const end = lastLine === -1 ? -1 : head.indexOf('\n', lastLine + 1);
  if (end !== -1 && end < longestHeader) return end + 1;
  throw damagedHeader(head.length > longestHeader ? 'it is longer than 64 KiB' : 'the file ends before it does');
}

async function openHeader(header: Uint8Array, keys: EnvelopeKeys): Promise<Uint8Array> {
  const decrypter = new Decrypter();
  for (const [index, identity] of keys.ageIdentities.entries()) addIdentity(decrypter, identity, index);
  if (keys.passphrase !== undefined) decrypter.addPassphrase(keys.passphrase);
  const unmatched: Stanza[] = [];
  const lastResort = {
    unwrapFileKey(stanzas: Stanza[]): null {
      unmatched.push(...stanzas);
      return null;
    },
  };
  decrypter.addIdentity(lastResort);
  try {
    return await decrypter.decryptHeader(header);
  } catch (cause) {
    if (unmatched.length > 0) throw wrongKey(unmatched, keys, cause);
    throw damagedHeader(cause instanceof Error ? cause.message.slice(0, 100) : 'it cannot be read', cause);
  }
}

function addIdentity(decrypter: Decrypter, identity: string, index: number): void {
  try {
    decrypter.addIdentity(identity);
  } catch {
    throw new Failure('config', `key ${index + 1} is not an age secret key`, {
      hint: 'A secret key starts with AGE-SECRET-KEY-1 and is copied whole, in capital letters.',
    });
  }
}

function wrongKey(stanzas: readonly Stanza[], keys: EnvelopeKeys, cause: unknown): Failure {
  const needed = stanzas.some((stanza) => stanza.args[0] === 'scrypt') ? 'passphrase' : 'secret key';
  const given = needed === 'passphrase' ? keys.passphrase !== undefined : keys.ageIdentities.length > 0;
  const message = given
    ? `the ${needed} given does not open the age file`
    : `the age file opens with a ${needed}, and none was given`;
  return new Failure('wrong-key', message, { cause });
}

function damagedHeader(detail: string, cause?: unknown): Failure {
  return new Failure('damaged', `the header of the age file is damaged: ${detail}`, { cause });
}
