/**
 * A stream of bytes. Chunks have any size above zero and belong to whoever receives them; leaving a `for await` early
 * releases what the stream holds. An error in the middle throws: bytes that came before it are not yet worth trusting.
 */
export type Bytes = AsyncIterable<Uint8Array>;

/** {@link Bytes} whose chunks are only lent: each holds until the next one is asked for. Nobody may gather them. */
export type LentBytes = AsyncIterable<Uint8Array>;

/** What is left of a stream without its first bytes. */
export async function* withoutFirst(count: number, bytes: Bytes): AsyncGenerator<Uint8Array> {
  let surplus = count;
  for await (const chunk of bytes) {
    const wanted = chunk.subarray(surplus);
    surplus -= chunk.length - wanted.length;
    if (wanted.length > 0) yield wanted;
  }
}
