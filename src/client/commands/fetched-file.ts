import { link, open, readFile, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { statsIfThere } from '../../mesh/files/stats-if-there.js';
import { syncFolder } from '../../mesh/files/sync-folder.js';
import { Failure } from '../../mesh/terms/failure.js';
import { openPartFile, openPrivate, type PartFile, partMark } from '../restore/download/part-file.js';

/** A backup that is fetched to a file of its own: its bytes are collected beside it. */
export interface FetchedFile {
  readonly part: PartFile;
  /**
   * Gives the file its name, and puts its manifest beside it; both are durable then.
   * @throws Failure `conflict` when somebody took a name meanwhile; what lies there is as it was
   */
  keep(): Promise<void>;
}

export interface FetchedFileOptions {
  /** Of the manifest. */
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
export async function openFetchedFile(
  target: string,
  { digest, manifest, force }: FetchedFileOptions,
): Promise<FetchedFile> {
  const sidecar = `${target}.manifest`;
  await refuseTaken(target, force);
  // An attempt that was killed at its very end has left the same one.
  await refuseTaken(sidecar, force || (await holds(sidecar, manifest)));
  const mark = partMark(digest);
  const part = await openPartFile(`${target}.${mark}`);
  const { path, file } = part;
  const beside = `${sidecar}.${mark}`;
  return {
    part,
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
