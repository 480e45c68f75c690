import { type FileHandle, lstat, open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { makeFolders } from './make-folders.js';
import { syncFolder, syncNewFolders } from './sync-folder.js';

/**
 * Writes a small file so that, after a crash at any moment, either the old content or the new is there,
 * and the new once this resolves. Makes the folder, open to the node's user only. What root writes belongs to the owner of
 * the old file, or of the folder. Two writers of one path must take turns.
 */
export async function replaceFile(path: string, content: string | Uint8Array): Promise<void> {
  const folder = dirname(path);
  const temporary = `${path}.new`;
  const { file, made } = await openIn(folder, temporary);
  try {
    try {
      await file.writeFile(content);
      await giveToOwner(file, path);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (thrown) {
    await rm(temporary, { force: true });
    throw thrown;
  }
  await syncFolder(folder);
  if (made !== undefined) await syncNewFolders(folder, made);
}

/** Opens a file for writing; makes its folder when it is not there. @returns `made`: the first folder that was made */
async function openIn(folder: string, path: string): Promise<{ file: FileHandle; made?: string | undefined }> {
  try {
    return { file: await openNew(path) };
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code !== 'ENOENT') throw thrown;
  }
  const made = await makeFolders(folder, 0o700);
  return { file: await openNew(path), made };
}

/** What lies there, left by a crash, is removed and not opened: through a link, root would write to any file. */
async function openNew(path: string): Promise<FileHandle> {
  try {
    return await open(path, 'wx', 0o600);
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code !== 'EEXIST') throw thrown;
  }
  await rm(path);
  return open(path, 'wx', 0o600);
}

/** A command that root runs must not take a file away from the node, which runs as another user. */
async function giveToOwner(file: FileHandle, path: string): Promise<void> {
  if (process.geteuid?.() !== 0) return;
  const { uid, gid } = await lstat(path).catch(() => lstat(dirname(path)));
  // Some file systems know no owners, and some containers no such right.
  await file.chown(uid, gid).catch(() => undefined);
}
