import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { statsIfThere } from './stats-if-there.js';

/**
 * Makes a folder and those above it, as far as they are missing.
 * @returns the first one that was made
 * @throws what the system says. Node.js itself says ENOENT also for a file system that is read-only, and the like
 */
export async function makeFolders(folder: string, mode?: number): Promise<string | undefined> {
  try {
    return await mkdir(folder, { recursive: true, mode });
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code !== 'ENOENT') throw thrown;
    await mkdir(await firstMissing(folder), { mode });
    // Somebody else made the folder above in the meantime.
    return mkdir(folder, { recursive: true, mode });
  }
}

async function firstMissing(folder: string): Promise<string> {
  const parent = dirname(folder);
  return (await statsIfThere(parent)) === null ? firstMissing(parent) : folder;
}
