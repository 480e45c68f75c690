import { createCipheriv, createDecipheriv, pbkdf2, randomBytes } from 'node:crypto';
import { promisify } from 'node:util';
import type { Bytes } from '../terms/bytes.js';
import { Failure } from '../terms/failure.js';
import { blocks } from './blocks.js';
import type { OpenedEnvelope, Sealer } from './envelope.js';
import { plaintextKind } from './looks-plain.js';
import { type PeekedBytes, peek } from './peek.js';

const algorithm = 'aes-256-cbc';
const blockSize = 16;
/** Bytes that are ciphered at once. */
const stride = 256 * 1024;

/** The predecessor's key derivation, to the letter. */
const deriveKey = (keyText: string): Promise<Buffer> =>
  promisify(pbkdf2)(keyText, 'anemone-config-export', 100_000, 32, 'sha256');

/**
 * The predecessor's format: 16 random bytes of IV, then AES-256-CBC with PKCS#7 padding. Nothing authenticates it.
 * @throws Failure `config` when the key text is empty
 */
export function cbc1Sealer(keyText: string): Sealer {
  if (keyText === '') throw new Failure('config', 'the key of the format anemone-cbc1 is empty');
  return { format: 'anemone-cbc1', seal: (plaintext) => sealed(plaintext, keyText) };
}

async function* sealed(plaintext: Bytes, keyText: string): AsyncGenerator<Uint8Array, void> {
  const iv = randomBytes(blockSize);
  const cipher = createCipheriv(algorithm, await deriveKey(keyText), iv);
  yield iv;
  for await (const { bytes, last } of blocks(plaintext, stride)) {
    const ciphertext = cipher.update(bytes);
    yield last ? Buffer.concat([ciphertext, cipher.final()]) : ciphertext;
  }
}

/**
 * The plaintext of an anemone-cbc1 file; the caller releases the file when this throws. What the format lets anyone know,
 * and no more:
 * - a length that is no multiple of 16, or below 32, is damage, whatever the key;
 * - a plaintext that begins as something known proves the key (see {@link plaintextKind}); wrong padding at its end is
 *   then damage, a cut or a change in the last 32 bytes;
 * - wrong padding after an unknown beginning is a wrong key, or damage;
 * - right padding after an unknown beginning proves little: one wrong key in 256 comes this far (`keyProven` is false);
 * - a change before the last 32 bytes is never seen, and one among them, or a cut at a multiple of 16, not always.
 * @throws Failure `wrong-key` | `damaged`
 */
export async function openCbc1(file: PeekedBytes, keyText: string | undefined): Promise<OpenedEnvelope> {
  if (file.head.length < 2 * blockSize) {
    throw damaged(`it has ${file.head.length} bytes, and the shortest possible has ${2 * blockSize}`);
  }
  if (keyText === undefined) {
    throw new Failure('wrong-key', 'the anemone-cbc1 file opens with the key of that format, and none was given');
  }
  const key = await deriveKey(keyText);
  const iv = file.head.subarray(0, blockSize);
  const plaintext = await peek(decrypted(file.from(blockSize), key, iv), 1);
  return {
    format: 'anemone-cbc1',
    plaintext: plaintext.from(0),
    keyProven: plaintextKind(plaintext.head) !== null,
  };
}

async function* decrypted(ciphertext: Bytes, key: Buffer, iv: Buffer): AsyncGenerator<Uint8Array, void> {
  const decipher = createDecipheriv(algorithm, key, iv);
  let size = blockSize;
  let keyProven = false;
  for await (const { bytes, last } of blocks(ciphertext, stride)) {
    const plaintext = decipher.update(bytes);
    if (size === blockSize) keyProven = plaintext.length > 0 && plaintextKind(plaintext) !== null;
    size += bytes.length;
    if (!last) {
      yield plaintext;
      continue;
    }
    if (size % blockSize !== 0) throw damaged(`its ${size} bytes are no multiple of ${blockSize}, so it was cut off`);
    const whole = Buffer.concat([plaintext, withoutPadding(() => decipher.final(), keyProven)]);
    if (whole.length > 0) yield whole;
  }
}

/** OpenSSL checks the padding in full: its length, 1 to 16, and every byte of it. */
function withoutPadding(final: () => Buffer, keyProven: boolean): Buffer {
  try {
    return final();
  } catch (cause) {
    if (keyProven) throw damaged('its key is right, and its end was changed or cut off', cause);
    throw new Failure('wrong-key', 'the key given does not open the anemone-cbc1 file', {
      cause,
      hint: 'If you are sure of the key, the end of the file is damaged: this format cannot tell the two apart.',
    });
  }
}

function damaged(detail: string, cause?: unknown): Failure {
  return new Failure('damaged', `the anemone-cbc1 file is damaged: ${detail}`, { cause });
}
