import { dirname, join } from 'node:path';
import { realPath, withoutLinksAbove } from '../../../mesh/files/real-path.js';
import { isWithin } from '../../../mesh/terms/archive-roots.js';
import { rootsOf } from '../unpack/folders-above.js';
import { type Mounts, readMounts } from '../unpack/mounts.js';
import type { UnpackedEntry } from '../unpack/unpack.js';
import { examine, unlessBarred } from './compare.js';
import { isForTaking, type Selection } from './selection.js';

/** Where a restore goes, and what has to stay there. */
export interface Ground {
  /** Absolute, without links; need not be there yet. */
  readonly target: string;
  readonly mounts: Mounts;
  /**
   * Absolute: the data of nodes, which no backup has. Only what is there, by its name and as what a link there leads to, with
   * the links above it; not what the target lies in: nothing there goes with what is put aside. Of a target that is the data
   * itself, the state in it, by the name that an archive may have as well.
   */
  readonly spared: readonly string[];
  readonly selects: Selection;
}

/** @param known.data absolute; need not be there */
export async function readGround(
  target: string,
  { data, selects }: { readonly data: readonly string[]; readonly selects: Selection },
): Promise<Ground> {
  const real = await realPath(target);
  const spared = new Set<string>();
  for (const folder of data) {
    const named = await withoutLinksAbove(folder);
    const isThere = await unlessBarred(
      examine(named).then((stats) => stats !== null),
      true,
    );
    if (isThere) spared.add(named).add(await realPath(folder));
    for (let above = dirname(folder); above !== dirname(above); above = dirname(above)) {
      const link = await withoutLinksAbove(above);
      if ((await unlessBarred(examine(link), null))?.isSymbolicLink()) spared.add(link);
    }
  }
  const outside = [...spared].flatMap((folder) => {
    if (folder === real) return [join(folder, '.state')];
    return isWithin(real, folder) ? [] : [folder];
  });
  return { target: real, mounts: await readMounts(), spared: outside, selects };
}

/**
 * What is exchanged as one thing: the outermost entries. A folder of which something has to stay is no such thing: what the
 * backup has in it is exchanged one by one, and the folder itself stays as it is, with its mode, time and all else in it.
 * @param entries what was unpacked: the selected ones, and the folders above them
 */
export async function unitsOf(entries: readonly UnpackedEntry[], ground: Ground): Promise<readonly UnpackedEntry[]> {
  const units: UnpackedEntry[] = [];
  const visit = async (some: readonly UnpackedEntry[]): Promise<void> => {
    for (const root of rootsOf(some)) {
      if (root.kind !== 'folder' || !(await isSplit(root.path, ground))) units.push(root);
      else await visit(some.filter(({ path }) => path.startsWith(`${root.path}/`)));
    }
  };
  await visit(entries);
  return units;
}

async function isSplit(name: string, ground: Ground): Promise<boolean> {
  const { target, selects } = ground;
  const path = join(target, name);
  // Where this user may not look, nothing can be exchanged, which is for the planning to say.
  const stats = await unlessBarred(examine(path), null);
  if (stats?.isDirectory() === true && stayingIn(path, ground) !== undefined) return true;
  // Nor is it known there whether something was not selected.
  return selects !== null && !(await unlessBarred(isForTaking(target, name, selects), false));
}

/** What would go with a path that is put aside, whoever asked for that, in words; undefined for nothing. */
export function stayingIn(path: string, { mounts, spared }: Ground): string | undefined {
  const mount = mounts.isMountPoint(path) ? path : mounts.below(path);
  if (mount !== undefined) return `the file system mounted at ${mount}`;
  const data = spared.find((folder) => isWithin(folder, path));
  return data === undefined ? undefined : `the data of the node, ${data},`;
}
