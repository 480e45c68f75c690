import { isArmoredAge, isBinaryAge } from '../../mesh/envelope/age-magic.js';
import { plainHeadSize, plaintextKind } from '../../mesh/envelope/looks-plain.js';
import { peek } from '../../mesh/envelope/peek.js';
import type { Bytes } from '../../mesh/terms/bytes.js';
import { Failure } from '../../mesh/terms/failure.js';

/** A stream of ciphertext, and what it is. */
export interface Sealed {
  /** `age`, `anemone-cbc1`, or the empty string for ciphertext of a format that is not known. */
  readonly format: string;
  readonly bytes: Bytes;
}

/**
 * Takes the bytes of a set that promises ciphertext. A source that gives readable bytes instead is refused before anything
 * is kept: plaintext never leaves the server. An empty stream stays empty.
 * @throws Failure `invalid`
 */
export async function passThrough(set: string, bytes: Bytes): Promise<Sealed> {
  const stream = await peek(bytes, plainHeadSize);
  const kind = plaintextKind(stream.head);
  if (kind !== null && stream.head.length > 0) {
    await stream.release();
    throw new Failure('invalid', `the source of set ${set} promises ciphertext, and gave plaintext (${kind})`, {
      hint: `Remove "sealed: true" from set ${set}, so that it is encrypted here, or repair its source.`,
    });
  }
  return { format: isBinaryAge(stream.head) || isArmoredAge(stream.head) ? 'age' : '', bytes: stream.from(0) };
}
