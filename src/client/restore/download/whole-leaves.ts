import { leafSize } from '../../../mesh/manifest/digest-tree.js';

/**
 * Cuts a range into runs of whole leaves, as they come; what does not fill the last leaf is left out.
 * @param length of the range, in bytes
 */
export async function* wholeLeaves(bytes: AsyncIterable<Uint8Array>, length: number): AsyncGenerator<Uint8Array> {
  const leaf = Buffer.allocUnsafe(leafSize);
  let filled = 0;
  let left = length;
  for await (const chunk of bytes) {
    let rest = chunk.subarray(0, left - filled);
    if (filled > 0) {
      const part = rest.subarray(0, leafSize - filled);
      leaf.set(part, filled);
      filled += part.length;
      rest = rest.subarray(part.length);
      if (filled < Math.min(leafSize, left)) continue;
      yield leaf.subarray(0, filled);
      left -= filled;
      filled = 0;
    }
    const whole = rest.length === left ? left : rest.length - (rest.length % leafSize);
    if (whole > 0) yield rest.subarray(0, whole);
    left -= whole;
    leaf.set(rest.subarray(whole));
    filled = rest.length - whole;
  }
}
