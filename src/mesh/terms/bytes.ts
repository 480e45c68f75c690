/**
 * A stream of bytes. Chunks have any size above zero and belong to whoever receives them; leaving a `for await` early
 * releases what the stream holds. An error in the middle throws: bytes that came before it are not yet worth trusting.
 */
export type Bytes = AsyncIterable<Uint8Array>;
