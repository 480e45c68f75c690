import { readdir, realpath } from 'node:fs/promises';
import { basename, dirname, join, relative } from 'node:path';
import { statsIfThere } from '../../mesh/files/stats-if-there.js';
import { Failure } from '../../mesh/terms/failure.js';
import { type Mounts, readMounts } from './mounts.js';
import { rootsOf } from './roots.js';
import { previousPath } from './staging.js';
import type { UnpackedEntry } from './unpack.js';

export interface Placement {
  /** Absolute; made by `unpack`, inside the target. It is gone afterwards, whatever happens. */
  readonly staging: string;
  /** Absolute; exists. */
  readonly target: string;
  readonly entries: readonly UnpackedEntry[];
  /** What is exchanged as a whole; the entries that lie in no other one unless given. */
  readonly roots?: readonly UnpackedEntry[];
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

export interface Plan {
  /** Staged folders that are to be copied into a mount first, because nothing can be renamed into it. */
  readonly copies: readonly { readonly from: string; readonly to: string }[];
  readonly exchanges: readonly Exchange[];
}

/**
 * What has to be renamed, without touching anything. A root that is a mount point (a volume of a container) cannot be
 * renamed itself, so its children are; its own mode and time, and what else is in it, stay.
 * @throws Failure `forbidden` when a folder above a root is a link or no folder, `conflict` when the name for the previous
 *   one is taken, `invalid` when something lies on another file system
 */
export async function planExchanges(placement: Placement): Promise<Plan> {
  const target = await realpath(placement.target);
  const staging = await realpath(placement.staging);
  const mounts = await readMounts();
  const made = new Set<string>();
  const copies: { from: string; to: string }[] = [];
  const exchanges: Exchange[] = [];
  for (const root of placement.roots ?? rootsOf(placement.entries)) {
    const path = join(target, root.path);
    const staged = join(staging, root.path);
    const folders = (await missingFolders(target, root.path)).filter((folder) => !made.has(folder));
    for (const folder of folders) made.add(folder);
    let pairs = [{ staged, path, folders }];
    if (mounts.isMountPoint(path)) {
      const to = join(path, basename(staging));
      pairs = (await childrenOf(staged, path)).map((name) => ({
        staged: join(to, name),
        path: join(path, name),
        folders,
      }));
      copies.push({ from: staged, to });
    }
    for (const pair of pairs) {
      checkMounts(pair.path, dirname(pair.staged), mounts);
      exchanges.push({ ...pair, previous: await previousOf(pair.path, placement.stamp) });
    }
  }
  return { copies, exchanges };
}

function childrenOf(staged: string, path: string): Promise<string[]> {
  return readdir(staged).catch((error: unknown) => {
    throw new Failure('invalid', `${path} is a mount point, and the backup has no folder of that name`, {
      cause: error,
    });
  });
}

/** The folders above a root that do not exist yet. Those that do must be real ones: a link would lead elsewhere. */
async function missingFolders(target: string, rootPath: string): Promise<string[]> {
  const missing: string[] = [];
  let folder = target;
  for (const name of rootPath.split('/').slice(0, -1)) {
    folder = join(folder, name);
    const stats = await statsIfThere(folder);
    if (stats === null) missing.push(folder);
    else if (!stats.isDirectory()) {
      const what = stats.isSymbolicLink() ? 'a symbolic link' : 'no folder';
      throw new Failure('forbidden', `${rootPath} cannot be restored: ${folder} is ${what}`, {
        hint: 'Move it away, or restore into another --target.',
      });
    }
  }
  return missing;
}

function checkMounts(path: string, stagedIn: string, mounts: Mounts): void {
  const below = mounts.below(path) ?? (mounts.isMountPoint(path) ? path : undefined);
  if (below !== undefined) {
    throw new Failure('invalid', `${path} cannot be replaced: the file system mounted at ${below} would go with it`, {
      hint: `Unmount ${below}, or restore into another --target.`,
    });
  }
  const here = mounts.of(dirname(path));
  const there = mounts.of(stagedIn);
  if (here !== there) {
    throw new Failure('invalid', `${path} lies on another file system (${here}) than the target (${there})`, {
      hint: `Restore into another --target, and copy ${relative('/', path)} from there.`,
    });
  }
}

async function previousOf(path: string, stamp: string): Promise<string | null> {
  if ((await statsIfThere(path)) === null) return null;
  const previous = previousPath(path, stamp);
  if ((await statsIfThere(previous)) === null) return previous;
  throw new Failure('conflict', `${previous} exists already`, { hint: 'Start the restore again in a second.' });
}
