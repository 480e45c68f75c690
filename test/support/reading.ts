/** Lets a push read these bytes, in pieces. */
export function reading(content: Buffer) {
  return {
    async *read(offset: number, length: number): AsyncGenerator<Buffer> {
      for (let at = offset; at < offset + length; at += 100_000) {
        yield content.subarray(at, Math.min(at + 100_000, offset + length));
      }
    },
  };
}
