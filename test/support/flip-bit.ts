import { readFile, writeFile } from 'node:fs/promises';

/** Turns over one bit of a byte of a file, as a disk may do. */
export async function flipBit(path: string, at: number, bit = 0): Promise<void> {
  const bytes = await readFile(path);
  bytes.writeUInt8(bytes.readUInt8(at) ^ (1 << bit), at);
  await writeFile(path, bytes);
}
