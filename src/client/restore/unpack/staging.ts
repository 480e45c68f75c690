import { access, chmod, constants, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { statsIfThere } from '../../../mesh/files/stats-if-there.js';
import { printable } from '../../../mesh/terms/clean-text.js';
import { readMounts } from './mounts.js';

const prefix = '.anemone-restore-';
const stampPattern = /^\d{8}-\d{6}$/;

/** The moment of a restore in UTC, as it appears in the names of folders: `20261123-010000`. */
export function restoreStamp(now: number): string {
  const iso = new Date(now).toISOString();
  return `${iso.slice(0, 10).replaceAll('-', '')}-${iso.slice(11, 19).replaceAll(':', '')}`;
}

/**
 * The folder in which a restore is downloaded and prepared: the target, so that putting it into place is a rename. A target
 * that may not be written to, and has mounts below it, is the root of a container with its volumes: what goes into these
 * is copied there, from the temporary folder.
 */
export async function workFolder(target: string): Promise<string> {
  const writable = await access(target, constants.W_OK).then(
    () => true,
    () => false,
  );
  return writable || (await readMounts()).below(target) === undefined ? target : tmpdir();
}

/** The folder inside the {@link workFolder} into which a restore is unpacked. */
export function stagingFolder(work: string, stamp: string): string {
  return join(work, prefix + stamp);
}

/** The staging folders in a target, as absolute paths: at most one of them belongs to a restore that is under way. */
export async function stagingIn(target: string): Promise<readonly string[]> {
  const names = await readdir(target).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    throw error;
  });
  const staging = names.filter((name) => name.startsWith(prefix) && stampPattern.test(name.slice(prefix.length)));
  return staging.map((name) => join(target, name));
}

/**
 * Removes what interrupted restores left in the target. Only one restore may run in a target at a time.
 * @returns as {@link removeStaging}
 */
export async function removeStaleStaging(target: string): Promise<readonly string[]> {
  return removeStaging(await stagingIn(target));
}

/**
 * Removes staging folders. One that stays keeps no restore out, and fails none: the next one finds it by its name.
 * @returns a warning for each that cannot be removed
 */
export async function removeStaging(paths: readonly string[]): Promise<readonly string[]> {
  const warnings: string[] = [];
  for (const path of paths) {
    await removeTree(path).catch(({ message }: Error) => {
      const why = `${path} cannot be removed (${printable(message, 300)})`;
      warnings.push(`${why}: it holds files of a backup, unsealed. Remove it yourself.`);
    });
  }
  return warnings;
}

/** Removes a tree, also one whose folders forbid it; nothing when there is none. Links are removed, never followed. */
export async function removeTree(path: string): Promise<void> {
  // First: an `rm` that was refused half-way still goes on in the background for a while.
  await openFolders(path);
  await rm(path, { recursive: true, force: true });
}

async function openFolders(path: string): Promise<void> {
  const stats = await statsIfThere(path);
  if (!stats?.isDirectory()) return;
  await chmod(path, 0o700);
  for (const item of await readdir(path, { withFileTypes: true })) {
    if (item.isDirectory()) await openFolders(join(path, item.name));
  }
}
