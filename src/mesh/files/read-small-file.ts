import { constants, open } from 'node:fs/promises';

/** Bytes. The largest file that this program writes so, the times of 100,000 backups, has a tenth of it. */
const mostOfOwn = 64 * 2 ** 20;

/** Why a file is not read, beside the errors of the system, from which its code tells it: the message says so of `it`. */
class OtherFile extends Error {
  constructor(
    readonly code: 'NOT_A_FILE' | 'TOO_LARGE',
    message: string,
  ) {
    super(message);
  }
}

/**
 * Reads a file whole, by default one that this program wrote with `replaceFile`. Something else in its place, such as a pipe that
 * nobody writes to, is not waited for.
 * @param most bytes that it may have
 * @param follow whether it may be a link
 * @throws errors with a code: those of the system, such as ENOENT, `NOT_A_FILE` and `TOO_LARGE`. Whoever asks says which file it
 * is, and what it is for
 */
export async function readSmallFile(path: string, { most = mostOfOwn, follow = false } = {}): Promise<Buffer> {
  const handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK | (follow ? 0 : constants.O_NOFOLLOW));
  try {
    const stats = await handle.stat();
    if (!stats.isFile()) throw new OtherFile('NOT_A_FILE', 'it is not a file');
    if (stats.size > most) throw new OtherFile('TOO_LARGE', `it has more than ${most} bytes`);
    return await handle.readFile();
  } finally {
    await handle.close();
  }
}
