import { constants, open } from 'node:fs/promises';

/** Bytes. The largest of these files, the times of 100,000 backups, has a tenth of it. */
const most = 64 * 2 ** 20;

/**
 * Reads a file whole that this program wrote with `replaceFile`. Something else in its place, such as a pipe that nobody writes
 * to, is not waited for; a link is not followed.
 * @throws errors as they are, such as ENOENT: whoever asks says which file it is, and what it is for
 */
export async function readSmallFile(path: string): Promise<Buffer> {
  const handle = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    const stats = await handle.stat();
    if (!stats.isFile()) throw new Error('it is not a file');
    if (stats.size > most) throw new Error(`it has ${stats.size} bytes, which is too large`);
    return await handle.readFile();
  } finally {
    await handle.close();
  }
}
