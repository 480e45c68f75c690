import { open } from 'node:fs/promises';
import { dirname } from 'node:path';

/** Makes durable which names a folder has: a file that was made, renamed or removed in it is so only after this. */
export async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

/**
 * Makes folders durable that were just made: one is so only once the folder above it is.
 * @param outermost the first one that was made, as `mkdir` tells
 */
export async function syncNewFolders(innermost: string, outermost: string): Promise<void> {
  for (let folder = innermost; ; folder = dirname(folder)) {
    await syncFolder(dirname(folder));
    if (folder === outermost || folder === dirname(folder)) return;
  }
}
