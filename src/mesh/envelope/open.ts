import type { LentBytes } from '../terms/bytes.js';
import { Failure } from '../terms/failure.js';
import { ageHeadSize, openAge } from './age.js';
import { isArmoredAge, isBinaryAge } from './age-magic.js';
import { openCbc1 } from './anemone-cbc1.js';
import type { EnvelopeFormat, EnvelopeKeys, OpenedEnvelope } from './envelope.js';
import { plaintextKind } from './looks-plain.js';
import { type PeekedBytes, peek } from './peek.js';

/**
 * The format of a file that begins with `head` (512 bytes, or the whole file). `age` says so itself; `anemone-cbc1` has
 * no mark, and is everything that is neither age nor plaintext. Null: the file is plaintext, or empty.
 */
export function detectFormat(head: Uint8Array): EnvelopeFormat | null {
  if (isBinaryAge(head) || isArmoredAge(head)) return 'age';
  return plaintextKind(head) === null ? 'anemone-cbc1' : null;
}

/**
 * Opens a sealed backup. A wrong key and a damaged beginning are known when it resolves; later damage while the plaintext
 * is read. When it throws, the ciphertext has been released.
 * @param format What the manifest says; without it, the file's beginning decides.
 * @throws Failure `wrong-key` | `damaged` | `config` (an age identity that is none)
 */
export async function openEnvelope(
  ciphertext: LentBytes,
  keys: EnvelopeKeys,
  format?: EnvelopeFormat,
): Promise<OpenedEnvelope> {
  const file = await peek(ciphertext, ageHeadSize);
  try {
    return await openAs(format ?? detectFormat(file.head), file, keys);
  } catch (error) {
    await file.release();
    throw error;
  }
}

async function openAs(format: EnvelopeFormat | null, file: PeekedBytes, keys: EnvelopeKeys): Promise<OpenedEnvelope> {
  if (format === 'age') return { format, plaintext: await openAge(file, keys), keyProven: true };
  if (format === 'anemone-cbc1') return openCbc1(file, keys.cbc1KeyText);
  const kind = plaintextKind(file.head);
  throw new Failure('damaged', `this is not a sealed backup, or its first bytes were changed: it looks like ${kind}`);
}
