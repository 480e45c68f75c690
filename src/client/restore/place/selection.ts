import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { PathMatcher } from '../../../mesh/terms/path-pattern.js';
import { examine } from './compare.js';

/** Which parts of a backup are restored; null for all of it. */
export type Selection = PathMatcher | null;

/** Whether all that is at a path, and below it, was selected, or there is nothing. */
export async function isForTaking(target: string, path: string, selects: PathMatcher): Promise<boolean> {
  const stats = await examine(join(target, path));
  if (stats === null) return true;
  if (!selects(path, stats.isDirectory())) return false;
  if (!stats.isDirectory()) return true;
  for (const name of await readdir(join(target, path))) {
    if (!(await isForTaking(target, `${path}/${name}`, selects))) return false;
  }
  return true;
}
