import { open } from 'node:fs/promises';

/** Makes durable which names a folder has: a file that was made, renamed or removed in it is so only after this. */
export async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
