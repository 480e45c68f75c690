import { constants } from 'node:fs';
import { type FileHandle, link, lstat, open, rename, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { Failure } from '../../mesh/terms/failure.js';

/** A file on its way: its bytes are collected under a temporary name beside the final one. */
export interface PartFile {
  /** Open for reading and writing; may hold bytes of an earlier attempt. */
  readonly file: FileHandle;
  /**
   * Gives the file its name, and puts its manifest beside it; both are durable then.
   * @throws Failure `conflict` when somebody took the name meanwhile
   */
  keep(manifest: Uint8Array): Promise<void>;
  /** Closes it. @param remove whether nothing of it is of use to another attempt @returns the bytes that stay */
  abandon(remove: boolean): Promise<number>;
}

/**
 * @param target absolute path of the file to be
 * @param digest of the manifest: bytes of another backup are never gone on with
 * @param force replace what is there
 * @throws Failure `usage` when the file is there already; `failed` when its folder cannot be written
 */
export async function openPart(target: string, digest: Uint8Array, force: boolean): Promise<PartFile> {
  if (!force && (await exists(target))) {
    throw new Failure('usage', `${target} is there already`, {
      hint: 'Name another file with -o, or replace it with -f.',
    });
  }
  const path = `${target}.${Buffer.from(digest).toString('hex').slice(0, 16)}.part`;
  const file = await openPrivate(path);
  return {
    file,
    async keep(manifest) {
      const sidecar = `${target}.manifest`;
      await rm(`${sidecar}.part`, { force: true });
      const beside = await openPrivate(`${sidecar}.part`);
      try {
        await beside.writeFile(manifest);
        await beside.sync();
      } finally {
        await beside.close();
      }
      await file.sync();
      await file.close();
      await rename(`${sidecar}.part`, sidecar);
      if (force) await rename(path, target);
      else await renameWithoutClobber(path, target);
      await syncFolder(dirname(target));
    },
    async abandon(remove) {
      // After `keep` failed the handle may be closed already.
      await file.close().catch(() => undefined);
      // Ranges arrive in any order: what lies between them takes no room yet.
      const { size, blocks } = await stat(path).catch(() => ({ size: 0, blocks: 0 }));
      if (!remove && size > 0) return Math.min(size, blocks * 512);
      await rm(path, { force: true });
      return 0;
    },
  };
}

async function openPrivate(path: string): Promise<FileHandle> {
  try {
    return await open(path, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o600);
  } catch (thrown) {
    throw Failure.from(thrown, `${path} cannot be written`);
  }
}

async function renameWithoutClobber(from: string, to: string): Promise<void> {
  try {
    await link(from, to);
    await rm(from);
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (code === 'EEXIST') throw new Failure('conflict', `${to} appeared meanwhile`, { cause });
    // FAT and the like have no hard links: a name that is taken exclusively may then be replaced.
    if (code !== 'EPERM' && code !== 'ENOTSUP') throw cause;
    await (await open(to, 'wx', 0o600)).close();
    await rename(from, to);
  }
}

async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

async function exists(path: string): Promise<boolean> {
  return lstat(path).then(
    () => true,
    (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return false;
      throw Failure.from(error);
    },
  );
}
