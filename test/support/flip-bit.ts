import { readFile, writeFile } from 'node:fs/promises';

/** These bytes with one bit of one of them turned over; `at` counts from the end where it is below 0. */
export function flipped(bytes: Uint8Array, at: number, bit = 0): Buffer {
  const copy = Buffer.from(bytes);
  const place = at < 0 ? copy.length + at : at;
  copy.writeUInt8(copy.readUInt8(place) ^ (1 << bit), place);
  return copy;
}

/** Does that to a file, as a disk may. */
export async function flipBit(path: string, at: number, bit = 0): Promise<void> {
  await writeFile(path, flipped(await readFile(path), at, bit));
}
