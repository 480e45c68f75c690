import { constants } from 'node:fs';
import { type FileHandle, link, open, readFile, rename, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { statsIfThere } from '../../../mesh/files/stats-if-there.js';
import { syncFolder } from '../../../mesh/files/sync-folder.js';
import { Failure } from '../../../mesh/terms/failure.js';

/** A file on its way: its bytes are collected under a temporary name beside the final one. */
export interface PartFile {
  /** Open for reading and writing; may hold bytes of an earlier attempt. */
  readonly file: FileHandle;
  /** Its temporary name. */
  readonly path: string;
  /**
   * Gives the file its name, and puts its manifest beside it; both are durable then.
   * @throws Failure `conflict` when somebody took a name meanwhile; what lies there is as it was
   */
  keep(): Promise<void>;
  /** Closes it. @param remove whether nothing of it is of use to another attempt @returns the bytes that stay */
  abandon(remove: boolean): Promise<number>;
}

export interface PartOptions {
  /** Of the manifest: bytes of another backup are never gone on with. */
  readonly digest: Uint8Array;
  /** What is put beside the file. */
  readonly manifest: Uint8Array;
  /** Replace the files that are there. */
  readonly force: boolean;
}

/**
 * @param target absolute path of the file to be
 * @throws Failure `usage` when a file is there already, or what is none; `failed` when its folder cannot be written
 */
export async function openPart(target: string, { digest, manifest, force }: PartOptions): Promise<PartFile> {
  const sidecar = `${target}.manifest`;
  await refuseTaken(target, force);
  // An attempt that was killed at its very end has left the same one.
  await refuseTaken(sidecar, force || (await holds(sidecar, manifest)));
  const mark = `${Buffer.from(digest).toString('hex').slice(0, 16)}.part`;
  const path = `${target}.${mark}`;
  const beside = `${sidecar}.${mark}`;
  const file = await openPrivate(path);
  return {
    file,
    path,
    async keep() {
      await writeDurably(beside, manifest);
      await file.sync();
      await file.close();
      try {
        if (force) {
          await rename(beside, sidecar);
          await rename(path, target);
        } else if (await holds(sidecar, manifest)) await renameWithoutClobber(path, target);
        else await nameBoth({ path, target }, { path: beside, target: sidecar });
      } finally {
        await rm(beside, { force: true });
      }
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

async function writeDurably(path: string, bytes: Uint8Array): Promise<void> {
  await rm(path, { force: true });
  const file = await openPrivate(path);
  try {
    await file.writeFile(bytes);
    await file.sync();
  } finally {
    await file.close();
  }
}

async function refuseTaken(path: string, mayReplace: boolean): Promise<void> {
  const stats = await statsIfThere(path);
  if (stats === null || (mayReplace && stats.isFile())) return;
  if (!stats.isFile()) throw new Failure('usage', `${path} is no file`, { hint: 'Name another file with -o.' });
  throw new Failure('usage', `${path} is there already`, { hint: 'Name another file with -o, or replace it with -f.' });
}

interface Naming {
  readonly path: string;
  readonly target: string;
}

/** The manifest has its name first, and loses it again when the file does not get its own. */
async function nameBoth(file: Naming, manifest: Naming): Promise<void> {
  await renameWithoutClobber(manifest.path, manifest.target);
  try {
    await renameWithoutClobber(file.path, file.target);
  } catch (thrown) {
    await rm(manifest.target);
    throw thrown;
  }
}

async function holds(path: string, bytes: Uint8Array): Promise<boolean> {
  const content = await readFile(path).catch(() => null);
  return content?.equals(bytes) ?? false;
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
