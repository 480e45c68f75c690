import { createHash } from 'node:crypto';
import { inflateSync } from 'node:zlib';
import * as vectors from 'cctv-age';
import { describe, expect, it } from 'vitest';
import { openEnvelope } from '../../../src/mesh/envelope/open.js';
import { Failure } from '../../../src/mesh/terms/failure.js';
import { collectUntilError, cut } from './streams.js';

interface Vector {
  readonly expected: string;
  readonly payload: string | undefined;
  readonly identities: readonly string[];
  readonly passphrases: readonly string[];
  readonly file: Buffer;
}

/** Lines of `key: value`, an empty line, and the file. */
function parseVector(bytes: Uint8Array): Vector {
  const buffer = Buffer.from(bytes);
  const end = buffer.indexOf('\n\n');
  const lines = buffer.subarray(0, end).toString().split('\n');
  const values = (key: string): string[] =>
    lines.filter((line) => line.startsWith(`${key}: `)).map((line) => line.slice(key.length + 2));
  const file = buffer.subarray(end + 2);
  return {
    expected: values('expect')[0] ?? '',
    payload: values('payload')[0],
    identities: values('identity'),
    passphrases: values('passphrase'),
    file: values('compressed')[0] === 'zlib' ? inflateSync(file) : file,
  };
}

/** The kind and the words that each declared outcome must have, and whether it is known before any plaintext is. */
const outcomes: Readonly<Record<string, { kind: string; words: RegExp; early: boolean | null }>> = {
  'no match': { kind: 'wrong-key', words: /given/, early: true },
  'header failure': { kind: 'damaged', words: /header of the age file is damaged|not a sealed backup/, early: true },
  'HMAC failure': { kind: 'damaged', words: /header of the age file is damaged: invalid header HMAC/, early: true },
  'payload failure': { kind: 'damaged', words: /payload/, early: false },
  'armor failure': { kind: 'damaged', words: /armor|not a sealed backup/, early: null },
};

/** Some files are megabytes, so that byte by byte is for the others. */
const pieceSizes = (file: Buffer): number[] => (file.length > 200_000 ? [65536] : [file.length, 65535, 1]);

async function attempt(vector: Vector, pieceSize: number) {
  const passphrase = vector.passphrases[0];
  const keys = { ageIdentities: vector.identities, ...(passphrase === undefined ? {} : { passphrase }) };
  try {
    const opened = await openEnvelope(
      cut(vector.file, () => pieceSize),
      keys,
    );
    return { early: false, ...(await collectUntilError(opened.plaintext)) };
  } catch (error) {
    return { early: true, bytes: Buffer.alloc(0), error };
  }
}

describe('the public test vectors of age (C2SP/CCTV)', () => {
  it('are all here, and only a file that is wrong with any passphrase is given two', () => {
    expect(Object.keys(vectors)).toHaveLength(143);
    const twice = Object.entries(vectors).filter(([, bytes]) => parseVector(bytes).passphrases.length > 1);
    expect(twice.map(([name]) => name)).toEqual(['scrypt_double']);
  });

  for (const [name, bytes] of Object.entries(vectors)) {
    const vector = parseVector(bytes);
    it(`${name}: ${vector.expected}`, async () => {
      for (const pieceSize of pieceSizes(vector.file)) {
        const { early, bytes: plaintext, error } = await attempt(vector, pieceSize);
        if (vector.payload !== undefined) {
          expect(createHash('sha256').update(plaintext).digest('hex')).toBe(vector.payload);
        }
        if (vector.expected === 'success') {
          expect(error).toBeNull();
          continue;
        }
        const outcome = outcomes[vector.expected];
        expect(error).toBeInstanceOf(Failure);
        expect(error).toMatchObject({ kind: outcome?.kind, message: expect.stringMatching(outcome?.words ?? /^$/) });
        expect(early).toBe(outcome?.early ?? early);
      }
    });
  }
});
