import { access, constants } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { realPath } from '../../../mesh/files/real-path.js';
import { statsIfThere } from '../../../mesh/files/stats-if-there.js';
import { isWithin } from '../../../mesh/terms/archive-roots.js';
import { Failure } from '../../../mesh/terms/failure.js';
import type { UnpackedEntry } from '../unpack/unpack.js';
import { type Ground, stayingIn } from './units.js';

export interface Placement {
  /** Absolute; made by `unpack`. It is gone after the exchange, whatever happens. */
  readonly staging: string;
  readonly ground: Ground;
  /** What is exchanged. */
  readonly units: readonly UnpackedEntry[];
  /** Part of the names under which what was there before is kept: `<name>.before-<stamp>`. */
  readonly stamp: string;
}

/** One thing that takes the place of another. All paths are absolute. */
export interface Exchange {
  readonly staged: string;
  readonly path: string;
  /** Where what is there now will go; null when nothing is there. */
  readonly previous: string | null;
  /** The folders to make above it, from the top. */
  readonly folders: readonly string[];
}

/** Nothing can be renamed into another mount, so it is copied there first. Both paths are absolute. */
export interface Copy {
  readonly from: string;
  /** In a staging folder, which is still to be made. */
  readonly to: string;
  /** Where that is mounted: links join files within it only. */
  readonly mount: string;
}

/** A unit that no restore could put into place as things are. */
export interface Unplaceable {
  /** In the archive. */
  readonly path: string;
  /** Failure `invalid`: a file system that is read-only, a folder of somebody else, a link above, something that has to stay. */
  readonly why: Failure;
}

export interface Plan {
  readonly copies: readonly Copy[];
  readonly exchanges: readonly Exchange[];
  readonly unplaceable: readonly Unplaceable[];
}

/**
 * What has to be renamed, without touching anything; target and staging folder need not be there yet.
 * @throws Failure `conflict` when the name for the previous one is taken
 */
export async function planExchanges(placement: Placement): Promise<Plan> {
  const staging = await realPath(placement.staging);
  const made = new Set<string>();
  const copies: Copy[] = [];
  const exchanges: Exchange[] = [];
  const unplaceable: Unplaceable[] = [];
  for (const { path } of placement.units) {
    try {
      const { shelf, ...exchange } = await planUnit(path, { ...placement, staging });
      const folders = exchange.folders.filter((folder) => !made.has(folder));
      for (const folder of folders) made.add(folder);
      const mount = placement.ground.mounts.of(shelf);
      if (mount === placement.ground.mounts.of(staging)) exchanges.push({ ...exchange, folders });
      else {
        const to = join(shelf, basename(staging), String(copies.length));
        copies.push({ from: exchange.staged, to, mount });
        exchanges.push({ ...exchange, folders, staged: to });
      }
    } catch (thrown) {
      const why = Failure.from(thrown);
      if (why.kind !== 'invalid') throw why;
      unplaceable.push({ path, why });
    }
  }
  return { copies, exchanges, unplaceable };
}

/** @returns with it the folder above that is there */
async function planUnit(
  name: string,
  { staging, stamp, ground }: Placement,
): Promise<Exchange & { readonly shelf: string }> {
  const path = join(ground.target, name);
  const folders = await missingFolders(ground.target, name);
  const shelf = dirname(folders[0] ?? path);
  await checkWritable(shelf, path);
  checkStaying(path, ground);
  return { staged: join(staging, name), path, folders, shelf, previous: await previousOf(path, stamp) };
}

/** The folders above a unit that do not exist yet. Those that do must be real ones: a link would lead elsewhere. */
async function missingFolders(target: string, name: string): Promise<string[]> {
  const missing: string[] = [];
  let folder = target;
  for (const part of name.split('/').slice(0, -1)) {
    folder = join(folder, part);
    const stats = await statsIfThere(folder).catch((cause) => {
      throw unusable(dirname(folder), join(target, name), cause);
    });
    if (stats === null) missing.push(folder);
    else if (!stats.isDirectory()) {
      const what = stats.isSymbolicLink() ? 'a symbolic link' : 'no folder';
      throw new Failure('invalid', `${name} cannot be restored: ${folder} is ${what}`, {
        hint: 'Move it away, or restore into another --target.',
      });
    }
  }
  return missing;
}

/** Whether names can be made and taken away in a folder, or in the one above where it is still to be made. */
async function checkWritable(folder: string, path: string): Promise<void> {
  try {
    await access(folder, constants.W_OK | constants.X_OK);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return checkWritable(dirname(folder), path);
    throw unusable(folder, path, cause);
  }
}

function unusable(folder: string, path: string, cause: unknown): Failure {
  const { code, message } = cause as NodeJS.ErrnoException;
  const why = reasons[code ?? ''] ?? message;
  return new Failure('invalid', `${path} cannot be put into place: ${folder} ${why}`, { cause, hint: elsewhere });
}

const reasons: Readonly<Record<string, string>> = {
  EROFS: 'is on a read-only file system',
  EACCES: 'may not be written to by this user',
};
const elsewhere = 'Restore into another --target, and copy it from there.';

/**
 * A folder with something that has to stay in it was taken apart before, so it is whole here only where the backup has a file
 * in its place, or where that has come since. What lies in the data of a node is never replaced.
 */
function checkStaying(path: string, ground: Ground): void {
  const staying = stayingIn(path, ground);
  const data = ground.spared.find((folder) => isWithin(path, folder));
  if (staying === undefined && data === undefined) return;
  const why =
    staying === undefined ? `it lies in the data of the node, ${data}` : `${staying} would be put aside with it`;
  throw new Failure('invalid', `${path} cannot be replaced: ${why}`, { hint: elsewhere });
}

/**
 * Where what is at a path will go; null when nothing is there.
 * @throws Failure `conflict` when that name is taken
 */
export async function previousOf(path: string, stamp: string): Promise<string | null> {
  if ((await statsIfThere(path)) === null) return null;
  const previous = `${path}.before-${stamp}`;
  if ((await statsIfThere(previous)) === null) return previous;
  throw new Failure('conflict', `${previous} exists already`, { hint: 'Start the restore again in a second.' });
}
