import type { Range } from '../../mesh/generated/anemone/peer/v1/peer.js';
import { leafSize } from '../../mesh/manifest/digest-tree.js';
import { Failure } from '../../mesh/terms/failure.js';
import type { Upload } from './upload.js';

/** Leaves that are written together. Others arrive meanwhile: 1 MiB is the memory that one connection needs. */
const leavesAtOnce = 8;

/** Cuts the bytes of one range into leaves for an upload. One call at a time. */
export interface RangeWriter {
  /**
   * @throws Failure `invalid` as soon as there is more than the range has; what the disk threw, for these bytes or for those
   * before them
   */
  write(chunks: readonly Uint8Array[]): Promise<void>;
  /** Stores the whole leaves that arrived; the rest of a leaf that was cut off is dropped. Nothing may be written after. */
  flush(): Promise<void>;
}

/** @param range one that the upload's file has, see `checkRange` */
export function openRangeWriter(upload: Upload, range: Range): RangeWriter {
  const size = Math.min(range.length, leavesAtOnce * leafSize);
  let buffer: Buffer<ArrayBuffer> = Buffer.allocUnsafe(size);
  let written: Buffer<ArrayBuffer> | null = null;
  /** Rejects when what is in the other buffer could not be stored, which the next call tells. */
  let storing: Promise<void> = Promise.resolve();
  const end = range.offset + range.length;
  let position = range.offset;
  let filled = 0;

  async function store(): Promise<void> {
    await storing;
    const whole = position + filled === end ? filled : filled - (filled % leafSize);
    const first = position / leafSize;
    position += filled;
    filled = 0;
    if (whole === 0) return;
    storing = upload.store(first, buffer.subarray(0, whole));
    storing.catch(() => {});
    [buffer, written] = [written ?? Buffer.allocUnsafe(size), buffer];
  }

  async function flush(): Promise<void> {
    await store();
    await storing;
  }

  async function write(chunks: readonly Uint8Array[]): Promise<void> {
    for (const chunk of chunks) {
      const room = end - position - filled;
      const accepted = chunk.subarray(0, room);
      for (let offset = 0; offset < accepted.length; ) {
        const part = accepted.subarray(offset, offset + buffer.length - filled);
        buffer.set(part, filled);
        filled += part.length;
        offset += part.length;
        if (filled === buffer.length) await store();
      }
      if (chunk.length > room) {
        throw new Failure('invalid', `more bytes came than the ${range.length} of the announced range`);
      }
    }
  }

  return { write, flush };
}
