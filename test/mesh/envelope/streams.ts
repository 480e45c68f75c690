import { createHash } from 'node:crypto';
import type { Bytes } from '../../../src/mesh/terms/bytes.js';

/** The ways in which a stream may be cut. */
export const chunkings: Readonly<Record<string, (bytes: Uint8Array) => Bytes>> = {
  whole: (bytes) => cut(bytes, () => bytes.length),
  'byte by byte': (bytes) => cut(bytes, () => 1),
  'in odd pieces': (bytes) => cut(bytes, (piece) => [1, 4093, 65537, 3, 65536, 262147][piece % 6] ?? 1),
};

export async function* cut(bytes: Uint8Array, sizeOf: (piece: number) => number): AsyncGenerator<Uint8Array, void> {
  let offset = 0;
  for (let piece = 0; offset < bytes.length; piece += 1) {
    const size = sizeOf(piece);
    yield bytes.subarray(offset, offset + size);
    offset += size;
  }
}

export function whole(bytes: Uint8Array | string): Bytes {
  const all = Buffer.from(bytes);
  return cut(all, () => all.length);
}

/** What came out before the stream ended or failed, and the error it failed with. */
export async function collectUntilError(stream: Bytes): Promise<{ bytes: Buffer; error: unknown }> {
  const pieces: Uint8Array[] = [];
  try {
    for await (const piece of stream) pieces.push(piece);
    return { bytes: Buffer.concat(pieces), error: null };
  } catch (error) {
    return { bytes: Buffer.concat(pieces), error };
  }
}

/** Bytes that look random and are the same in every run. */
export function noise(size: number, seed = 'noise'): Buffer {
  const pieces: Buffer[] = [];
  for (let length = 0, block = 0; length < size; length += 64, block += 1) {
    pieces.push(createHash('sha512').update(`${seed} ${block}`).digest());
  }
  return Buffer.concat(pieces).subarray(0, size);
}

const chunk = 64 * 1024;
/** One below, on, and one above every boundary of an age payload. */
export const boundarySizes = [0, 1, 15, 16, 17, chunk - 1, chunk, chunk + 1, 2 * chunk - 1, 2 * chunk, 2 * chunk + 1];
