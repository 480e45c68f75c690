import { createCipheriv, createDecipheriv, hkdfSync } from 'node:crypto';
import type { Bytes } from '../terms/bytes.js';
import { Failure } from '../terms/failure.js';
import { blocks } from './blocks.js';

/** Bytes of the random nonce between an age header and its payload. */
export const payloadNonceSize = 16;

const algorithm = 'chacha20-poly1305';
const tagSize = 16;
const chunkSize = 64 * 1024;
const sealedChunkSize = chunkSize + tagSize;

export function payloadKey(fileKey: Uint8Array, payloadNonce: Uint8Array): Uint8Array {
  return new Uint8Array(hkdfSync('sha256', fileKey, payloadNonce, 'payload', 32));
}

/**
 * The payload of an age file (STREAM: 64 KiB chunks, each with its own tag, the last one marked as the last). A tag comes
 * by itself: to put it behind its chunk would copy every byte.
 */
export async function* sealPayload(plaintext: Bytes, key: Uint8Array): AsyncGenerator<Uint8Array, void> {
  let index = 0;
  for await (const { bytes, last } of blocks(plaintext, chunkSize)) {
    const cipher = createCipheriv(algorithm, key, chunkNonce(index, last), { authTagLength: tagSize });
    const sealed = cipher.update(bytes);
    cipher.final();
    if (sealed.length > 0) yield sealed;
    yield cipher.getAuthTag();
    index += 1;
  }
}

/**
 * The plaintext of an age payload, chunk by chunk, each authenticated before it is handed out. A missing end and bytes
 * after the end are known only when the stream ends.
 * @throws Failure `damaged`
 */
export async function* openPayload(payload: Bytes, key: Uint8Array): AsyncGenerator<Uint8Array, void> {
  let index = 0;
  for await (const { bytes, last } of blocks(payload, sealedChunkSize)) {
    const plaintext = openChunk(bytes, key, index, last);
    if (plaintext === null) {
      const misplaced = openChunk(bytes, key, index, !last);
      if (misplaced !== null && bytes.length === sealedChunkSize) yield misplaced;
      throw damaged(wrongChunk(index, last, misplaced !== null));
    }
    if (plaintext.length > 0) yield plaintext;
    else if (index > 0) throw damaged('the last chunk of its payload is empty');
    index += 1;
  }
}

/** A chunk that opens with the other mark is genuine, and the stream around it is not. */
function wrongChunk(index: number, last: boolean, misplaced: boolean): string {
  if (misplaced) {
    return last
      ? `its payload was cut off after chunk ${index + 1}`
      : `its payload ends with chunk ${index + 1}, and more data follows`;
  }
  const cut = last ? ', or cut off' : '';
  return `chunk ${index + 1} of its payload, from byte ${index * sealedChunkSize} on, was changed${cut}`;
}

function openChunk(sealed: Uint8Array, key: Uint8Array, index: number, last: boolean): Uint8Array | null {
  const size = sealed.length - tagSize;
  if (size < 0) return null;
  const decipher = createDecipheriv(algorithm, key, chunkNonce(index, last), { authTagLength: tagSize });
  decipher.setAuthTag(sealed.subarray(size));
  const plaintext = decipher.update(sealed.subarray(0, size));
  try {
    decipher.final();
    return plaintext;
  } catch {
    return null;
  }
}

/** An 11-byte big-endian counter, of which 6 bytes are enough for 2^64 bytes of payload, and the mark of the last. */
function chunkNonce(index: number, last: boolean): Buffer {
  const nonce = Buffer.alloc(12);
  nonce.writeUIntBE(index, 5, 6);
  nonce.writeUInt8(last ? 1 : 0, 11);
  return nonce;
}

function damaged(detail: string): Failure {
  return new Failure('damaged', `the age file is damaged: ${detail}`);
}
