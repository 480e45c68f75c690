import { access, constants, realpath } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { statsIfThere } from '../../../mesh/files/stats-if-there.js';
import { Failure } from '../../../mesh/terms/failure.js';
import { childrenOf, rootsOf } from '../unpack/folders-above.js';
import { type Mounts, readMounts } from '../unpack/mounts.js';
import type { UnpackedEntry } from '../unpack/unpack.js';

export interface Placement {
  /** Absolute; made by `unpack`, inside the target. It is gone after the exchange, whatever happens. */
  readonly staging: string;
  /** Absolute; exists. */
  readonly target: string;
  readonly entries: readonly UnpackedEntry[];
  /** What is exchanged as a whole; the entries that lie in no other one unless given. */
  readonly roots?: readonly UnpackedEntry[];
  /** Whether anything would change at a path of the archive; always unless given. */
  readonly differs?: (path: string) => boolean;
  /** Absolute: what must not go with a folder that is exchanged, such as the data of a node; only where it is there. */
  readonly spared?: string | undefined;
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

/** A root that no restore could put into place as things are. */
export interface Unplaceable {
  /** In the archive. */
  readonly path: string;
  /** Failure `invalid`: another file system, one that is read-only, a folder of somebody else. */
  readonly why: Failure;
}

export interface Plan {
  /** Staged folders that are to be copied into a mount first, because nothing can be renamed into it. */
  readonly copies: readonly { readonly from: string; readonly to: string }[];
  readonly exchanges: readonly Exchange[];
  readonly unplaceable: readonly Unplaceable[];
}

/**
 * What has to be renamed, without touching anything; target and staging folder need not be there yet. A root that is a mount
 * point (a volume of a container) cannot be renamed itself, so its children are; its own mode and time, and what else is in
 * it, stay.
 * @throws Failure `forbidden` when a folder above a root is a link or no folder, `conflict` when the name for the previous
 *   one is taken
 */
export async function planExchanges(placement: Placement, mounts?: Mounts): Promise<Plan> {
  const place = {
    ...placement,
    target: await realPath(placement.target),
    staging: await realPath(placement.staging),
    mounts: mounts ?? (await readMounts()),
    spared: placement.spared === undefined ? undefined : await realPath(placement.spared),
  };
  const made = new Set<string>();
  const copies: { from: string; to: string }[] = [];
  const exchanges: Exchange[] = [];
  const unplaceable: Unplaceable[] = [];
  for (const root of placement.roots ?? rootsOf(placement.entries)) {
    try {
      const planned = await planRoot(root, place, made);
      copies.push(...planned.copies);
      exchanges.push(...planned.exchanges);
      for (const folder of planned.exchanges.flatMap(({ folders }) => folders)) made.add(folder);
    } catch (thrown) {
      const why = Failure.from(thrown);
      if (why.kind !== 'invalid') throw why;
      unplaceable.push({ path: root.path, why });
    }
  }
  return { copies, exchanges, unplaceable };
}

type Place = Placement & { readonly mounts: Mounts };

async function planRoot(
  root: UnpackedEntry,
  { target, staging, entries, stamp, mounts, spared, differs = () => true }: Place,
  made: ReadonlySet<string>,
): Promise<Omit<Plan, 'unplaceable'>> {
  const path = join(target, root.path);
  const staged = join(staging, root.path);
  const folders = (await missingFolders(target, root.path)).filter((folder) => !made.has(folder));
  const isMountPoint = mounts.isMountPoint(path);
  const to = join(path, basename(staging));
  if (isMountPoint && root.kind !== 'folder') {
    throw new Failure('invalid', `${path} is a mount point, and the backup has no folder of that name`);
  }
  const pairs = isMountPoint
    ? childrenOf(root.path, entries)
        .filter((name) => differs(`${root.path}/${name}`))
        .map((name) => ({ staged: join(to, name), path: join(path, name) }))
    : [{ staged, path }];
  await checkWritable(isMountPoint ? path : dirname(path), path);
  const exchanges: Exchange[] = [];
  for (const pair of pairs) {
    checkMounts(pair.path, dirname(pair.staged), root.path, mounts);
    await checkSpared(pair.path, spared);
    exchanges.push({ ...pair, folders, previous: await previousOf(pair.path, stamp) });
  }
  return { copies: isMountPoint && pairs.length > 0 ? [{ from: staged, to }] : [], exchanges };
}

/** The path without links, as far as it exists. */
async function realPath(path: string): Promise<string> {
  try {
    return await realpath(path);
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code !== 'ENOENT') throw thrown;
    return join(await realPath(dirname(path)), basename(path));
  }
}

/** The folders above a root that do not exist yet. Those that do must be real ones: a link would lead elsewhere. */
async function missingFolders(target: string, rootPath: string): Promise<string[]> {
  const missing: string[] = [];
  let folder = target;
  for (const name of rootPath.split('/').slice(0, -1)) {
    folder = join(folder, name);
    const stats = await statsIfThere(folder).catch((cause) => {
      throw unusable(dirname(folder), join(target, rootPath), cause);
    });
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

function checkMounts(path: string, stagedIn: string, name: string, mounts: Mounts): void {
  const below = mounts.below(path) ?? (mounts.isMountPoint(path) ? path : undefined);
  if (below !== undefined) {
    throw new Failure('invalid', `${path} cannot be replaced: the file system mounted at ${below} would go with it`, {
      hint: `Unmount ${below}, or restore into another --target.`,
    });
  }
  const here = mounts.of(dirname(path));
  const there = mounts.of(stagedIn);
  if (here !== there) {
    const message = `${path} lies on another file system (${here}) than the folder where it is prepared (${there})`;
    throw new Failure('invalid', message, { hint: `Restore into another --target, and copy ${name} from there.` });
  }
}

/** No backup has the data of a node in it: with the folder above, its key and all that it keeps for others would be put aside. */
async function checkSpared(path: string, spared: string | undefined): Promise<void> {
  if (spared === undefined || !`${spared}/`.startsWith(`${path}/`) || (await statsIfThere(spared)) === null) return;
  throw new Failure(
    'invalid',
    `${path} cannot be replaced: the data of the node, ${spared}, would be put aside with it`,
    {
      hint: `Restore parts of it with --include, or restore into another --target, and copy from there.`,
    },
  );
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
