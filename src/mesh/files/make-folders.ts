import fs from 'node:fs/promises';
import { dirname } from 'node:path';

/** The calls that it makes of a disk. */
type FolderCalls = Pick<typeof fs, 'mkdir' | 'stat'>;

/**
 * Makes a folder and those above it, as far as they are missing. One by one: of several, Node.js says ENOENT also for a file
 * system that is read-only, and in one that makes none, such as /proc, it tries for ever.
 * @returns the first one that was made
 * @throws what the system says
 */
export async function makeFolders(folder: string, mode?: number, disk: FolderCalls = fs): Promise<string | undefined> {
  try {
    return await makeFolder(folder, mode, disk);
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code !== 'ENOENT') throw thrown;
  }
  const first = await makeFolders(dirname(folder), mode, disk);
  const made = await makeFolder(folder, mode, disk);
  return first ?? made;
}

async function makeFolder(folder: string, mode: number | undefined, disk: FolderCalls): Promise<string | undefined> {
  try {
    await disk.mkdir(folder, { mode });
    return folder;
  } catch (thrown) {
    const isThere = await disk.stat(folder).then(
      (stats) => stats.isDirectory(),
      () => false,
    );
    if (!isThere) throw thrown;
    return undefined;
  }
}
