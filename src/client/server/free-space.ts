import { statfs } from 'node:fs/promises';

/** Bytes that are free in a folder; null where nobody tells, as some file systems do that reach over a network. */
export async function freeSpace(folder: string): Promise<number | null> {
  try {
    const { blocks, bavail, bsize } = await statfs(folder);
    return blocks === 0 ? null : bavail * bsize;
  } catch {
    return null;
  }
}
