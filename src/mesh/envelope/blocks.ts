import type { Bytes } from '../terms/bytes.js';

export interface Block {
  /** Overwritten when the next block is asked for. */
  readonly bytes: Uint8Array;
  readonly last: boolean;
}

/**
 * Cuts a stream into blocks of exactly `size` bytes; the last block has 1 to `size` bytes, or none when the stream is
 * empty. There is always exactly one last block.
 */
export async function* blocks(source: Bytes, size: number): AsyncGenerator<Block, void> {
  const pending = Buffer.allocUnsafe(size);
  let used = 0;
  for await (const chunk of source) {
    let rest = chunk;
    while (used + rest.length > size) {
      const missing = size - used;
      if (used === 0) {
        yield { bytes: rest.subarray(0, size), last: false };
      } else {
        pending.set(rest.subarray(0, missing), used);
        yield { bytes: pending, last: false };
      }
      rest = rest.subarray(missing);
      used = 0;
    }
    pending.set(rest, used);
    used += rest.length;
  }
  yield { bytes: pending.subarray(0, used), last: true };
}
