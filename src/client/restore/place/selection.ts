import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { PathMatcher } from '../../../mesh/terms/path-pattern.js';
import { rootsOf } from '../unpack/folders-above.js';
import type { UnpackedEntry } from '../unpack/unpack.js';
import { examine, unlessBarred } from './compare.js';

/** Which parts of a backup are restored; null for all of it. */
export type Selection = PathMatcher | null;

/**
 * What a restore of parts exchanges. A folder is exchanged as a whole only where nothing lies in it that was not selected;
 * otherwise what is in it is exchanged one by one, and everything else there stays as it is.
 * @param entries what was unpacked: the selected ones, and the folders above them
 */
export async function selectedRoots(
  entries: readonly UnpackedEntry[],
  target: string,
  selects: PathMatcher,
): Promise<readonly UnpackedEntry[]> {
  const roots: UnpackedEntry[] = [];
  const descend = async (entry: UnpackedEntry): Promise<void> => {
    // Where this user may not look, there may be something that was not selected.
    if (entry.kind !== 'folder' || (await unlessBarred(isForTaking(target, entry.path, selects), false))) {
      roots.push(entry);
      return;
    }
    const inside = entries.filter(({ path }) => path.startsWith(`${entry.path}/`));
    for (const child of rootsOf(inside)) await descend(child);
  };
  for (const root of rootsOf(entries)) await descend(root);
  return roots;
}

/** Whether all that is at a path, and below it, was selected, or there is nothing. */
async function isForTaking(target: string, path: string, selects: PathMatcher): Promise<boolean> {
  const stats = await examine(join(target, path));
  if (stats === null) return true;
  if (!selects(path, stats.isDirectory())) return false;
  if (!stats.isDirectory()) return true;
  for (const name of await readdir(join(target, path))) {
    if (!(await isForTaking(target, `${path}/${name}`, selects))) return false;
  }
  return true;
}
