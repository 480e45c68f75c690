import type { Stats } from 'node:fs';
import { lstat } from 'node:fs/promises';

/** What lies at a path, a link as itself; null when nothing does. Other errors are thrown as they are. */
export async function statsIfThere(path: string): Promise<Stats | null> {
  try {
    return await lstat(path);
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw thrown;
  }
}
