import { constants, type Stats } from 'node:fs';
import {
  chmod,
  copyFile,
  lchown,
  link,
  lstat,
  lutimes,
  mkdir,
  open,
  readdir,
  readlink,
  symlink,
} from 'node:fs/promises';
import { join } from 'node:path';

export interface CopyOptions {
  /** The first copy of each file so far, by its inode, for trees whose copies go to the same mount. */
  readonly copied: Map<number, string>;
  readonly signal: AbortSignal;
}

/**
 * Copies a part of an own staging folder to another mount: contents, links, modes, times and owners. Hard links stay joined.
 * @param to does not exist; its parent does
 */
export async function copyTree(from: string, to: string, { copied, signal }: CopyOptions): Promise<void> {
  async function copy(source: string, copyPath: string): Promise<void> {
    signal.throwIfAborted();
    const stats = await lstat(source);
    if (stats.isDirectory()) {
      await mkdir(copyPath, { mode: 0o700 });
      for (const name of await readdir(source)) await copy(join(source, name), join(copyPath, name));
      await likeSource(copyPath, stats);
    } else if (stats.isSymbolicLink()) {
      await symlink(await readlink(source), copyPath);
      await likeSource(copyPath, stats);
    } else if (copied.has(stats.ino)) {
      await link(copied.get(stats.ino) ?? source, copyPath);
    } else {
      await copyFile(source, copyPath, constants.COPYFILE_EXCL);
      await likeSource(copyPath, stats);
      copied.set(stats.ino, copyPath);
    }
  }

  await copy(from, to);
}

async function likeSource(path: string, stats: Stats): Promise<void> {
  if (process.getuid?.() === 0) await lchown(path, stats.uid, stats.gid);
  if (!stats.isSymbolicLink()) {
    await sync(path);
    await chmod(path, stats.mode & 0o7777);
  }
  await lutimes(path, stats.atime, stats.mtime);
}

async function sync(path: string): Promise<void> {
  await chmod(path, 0o700);
  const handle = await open(path);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
