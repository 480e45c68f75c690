import { open, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { syncFolder } from './sync-folder.js';

/**
 * Writes a file that must not exist, durably. When it fails, what it wrote is gone again.
 * @param mode who may use it, less what the umask takes away
 * @throws errors as they are, such as EEXIST
 */
export async function writeNewFile(path: string, text: string, mode: number): Promise<void> {
  const file = await open(path, 'wx', mode);
  try {
    try {
      await file.writeFile(text);
      await file.sync();
    } finally {
      await file.close();
    }
    await syncFolder(dirname(path));
  } catch (thrown) {
    await rm(path, { force: true });
    throw thrown;
  }
}
