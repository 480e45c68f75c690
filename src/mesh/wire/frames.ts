import { once } from 'node:events';
import type { Writable } from 'node:stream';
import { Failure } from '../terms/failure.js';

// The messages of a gRPC stream as they lie in the body of an HTTP/2 request or answer (gRPC over HTTP/2, "Length-Prefixed-
// Message"): a byte that says whether it is compressed, four bytes with its length, and the message.

const prefixSize = 5;
/** The longest varint of a length of 32 bits. */
const longestVarint = 5;

/** What is written to a stream for one message: in one piece, or a chunk as it is and what goes before it. */
export type Framed = readonly Uint8Array[];

export function framed(message: Uint8Array): Framed {
  const prefix = Buffer.alloc(prefixSize);
  prefix.writeUInt32BE(message.length, 1);
  return [prefix, message];
}

/**
 * A message with a single field of bytes.
 * @param field its number, at most 15
 */
export function framedChunk(field: number, chunk: Uint8Array): Framed {
  const varint: number[] = [];
  let rest = chunk.length;
  for (; rest > 127; rest >>>= 7) varint.push((rest & 127) | 128);
  const head = Buffer.from([0, 0, 0, 0, 0, chunkTag(field), ...varint, rest]);
  head.writeUInt32BE(head.length - prefixSize + chunk.length, 1);
  return [head, chunk];
}

/**
 * Writes a message, and returns when the stream takes the next one. A piece of 64 KiB or more has been handed to the network by
 * then, and whoever lent it may use its memory again.
 * @throws when the signal aborts, or the stream breaks
 */
export async function writeFramed(stream: Writable, pieces: Framed, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  stream.cork();
  for (const piece of pieces) stream.write(piece);
  stream.uncork();
  if (stream.writableNeedDrain) await once(stream, 'drain', { signal });
}

/** Tag of a field of bytes: its number, and wire type 2. */
function chunkTag(field: number): number {
  return (field << 3) | 2;
}

/** What a stream brings: a message, or the next bytes of a chunk, as they come. */
export type Part = { readonly message: Buffer } | { readonly bytes: Buffer };

export interface FrameReader {
  /** @throws Failure `invalid` */
  take(data: Buffer): Part[];
  /** Whether everything so far was whole. */
  readonly betweenMessages: boolean;
}

export interface FrameLimits {
  /** Bytes that a message may have. */
  readonly longest: number;
  /** Number of the field whose bytes are passed on as they come when it is all that a message has; no message otherwise. */
  readonly chunkField?: number;
}

/** Cuts the body of a stream into messages. The bytes of a chunk are neither copied nor waited for. */
export function frameReader({ longest, chunkField = 0 }: FrameLimits): FrameReader {
  const tag = chunkTag(chunkField);
  /** The prefix, and of a message that may be a chunk its tag and length. */
  const head = Buffer.alloc(prefixSize + 1 + longestVarint);
  let headFilled = 0;
  /** Bytes of the message, or of the chunk, that are still to come; null while its head is read. */
  let left: number | null = null;
  /** The message that is being put together; null for a chunk. */
  let message: Buffer | null = null;

  /** Looks at what has been read of the head. @returns whether it is known now what follows */
  function understand(): boolean {
    if (headFilled < prefixSize) return false;
    const size = head.readUInt32BE(1);
    if (headFilled === prefixSize) {
      if (head[0] !== 0) throw new Failure('invalid', 'a message is compressed, which is not understood here');
      if (size > longest) throw new Failure('invalid', `a message has ${size} bytes; ${longest} are allowed`);
      if (size > 0 && chunkField > 0) return false;
      return gather(size);
    }
    if (head[prefixSize] !== tag) return gather(size);
    if (headFilled === prefixSize + 1) return size === 1 ? gather(size) : false;
    const more = ((head[headFilled - 1] ?? 0) & 128) !== 0;
    const inMessage = headFilled - prefixSize;
    if (more && inMessage < size && headFilled < head.length) return false;
    if (more || readVarint(head.subarray(prefixSize + 1, headFilled)) !== size - inMessage) return gather(size);
    left = size - inMessage;
    return true;
  }

  function gather(size: number): true {
    message = Buffer.allocUnsafe(size);
    left = size - head.copy(message, 0, prefixSize, headFilled);
    return true;
  }

  return {
    take(data) {
      const parts: Part[] = [];
      for (let at = 0; at < data.length || left === 0; ) {
        if (left === null) {
          head[headFilled] = data[at] ?? 0;
          headFilled += 1;
          at += 1;
          if (!understand()) continue;
        }
        const bytes: Buffer = data.subarray(at, at + (left ?? 0));
        at += bytes.length;
        if (message !== null) bytes.copy(message, message.length - (left ?? 0));
        else if (bytes.length > 0) parts.push({ bytes });
        left = (left ?? 0) - bytes.length;
        if (left > 0) continue;
        if (message !== null) parts.push({ message });
        message = null;
        left = null;
        headFilled = 0;
      }
      return parts;
    },
    get betweenMessages() {
      return left === null && headFilled === 0;
    },
  };
}

function readVarint(bytes: Uint8Array): number {
  return bytes.reduceRight((value, byte) => value * 128 + (byte & 127), 0);
}
