import type { Bytes } from '../terms/bytes.js';

/**
 * `age` is the public format age v1 (https://c2sp.org/age), authenticated. `anemone-cbc1` is the predecessor's format,
 * which has no authentication of its own.
 */
export type EnvelopeFormat = 'age' | 'anemone-cbc1';

/** Seals backups in one format. It holds public keys (`age`) or a key text (`anemone-cbc1`), and can be used again. */
export interface Sealer {
  readonly format: EnvelopeFormat;
  /** The ciphertext of `plaintext`. Every call uses fresh random numbers, so equal plaintexts give unequal bytes. */
  seal(plaintext: Bytes): Bytes;
}

/** Everything that may open a backup; what a format has no use for is not looked at. */
export interface EnvelopeKeys {
  /** `AGE-SECRET-KEY-1…` or `AGE-SECRET-KEY-PQ-1…`. */
  readonly ageIdentities: readonly string[];
  /** For age files that were made with `age --passphrase`. */
  readonly passphrase?: string;
  /** The predecessor's "Restic key". */
  readonly cbc1KeyText?: string;
}

export interface OpenedEnvelope {
  readonly format: EnvelopeFormat;
  /**
   * To be read once; the ciphertext is released at its end, or when it is left in its middle. It throws `damaged`, after bytes
   * that were already handed out, as soon as damage shows; only a plaintext that was read to its end is complete.
   */
  readonly plaintext: Bytes;
  /**
   * Whether the key is known to be the right one. Always true for `age`. An `anemone-cbc1` file says so only by the
   * way its plaintext begins: false means that the plaintext is nothing known, so that whoever expects an archive
   * should say that the key is wrong.
   */
  readonly keyProven: boolean;
}
