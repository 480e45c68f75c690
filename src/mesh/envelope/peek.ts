import type { Bytes, LentBytes } from '../terms/bytes.js';

/** A stream whose beginning was read already. Use `from` once, or `release`. */
export interface PeekedBytes {
  /** The first bytes: at least as many as were asked for, unless the stream is shorter. */
  readonly head: Buffer;
  /** The stream from byte `offset` on, which lies inside the head. Chunks that its source only lends are lent on. */
  from(offset: number): Bytes;
  /** Lets go of the stream without reading it. */
  release(): Promise<void>;
}

/** Reads the first `size` bytes of a stream without losing them. */
export async function peek(source: LentBytes, size: number): Promise<PeekedBytes> {
  const iterator = source[Symbol.asyncIterator]();
  const pieces: Uint8Array[] = [];
  for (let length = 0; length < size; ) {
    const next = await iterator.next();
    if (next.done) break;
    pieces.push(Buffer.from(next.value));
    length += next.value.length;
  }
  const head = Buffer.concat(pieces);
  const release = async (): Promise<void> => {
    await iterator.return?.();
  };
  return { head, from: (offset) => resume(head.subarray(offset), iterator, release), release };
}

function resume(head: Uint8Array, iterator: AsyncIterator<Uint8Array>, release: () => Promise<void>): Bytes {
  let replay = head.length > 0;
  const resumed: AsyncIterator<Uint8Array> = {
    async next() {
      if (!replay) return iterator.next();
      replay = false;
      return { done: false, value: head };
    },
    async return() {
      await release();
      return { done: true, value: undefined };
    },
  };
  return { [Symbol.asyncIterator]: () => resumed };
}
