import { realpath, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

/** The path without links, as far as it can be followed. */
export async function realPath(path: string): Promise<string> {
  return realpath(path).catch(() => withoutLinksAbove(path));
}

/** The path without links but for one at its end, which is meant itself. */
export async function withoutLinksAbove(path: string): Promise<string> {
  return join(await realPath(dirname(path)), basename(path));
}

/** Whether two paths lead to one folder, by links, mounts or none. Neither has to be there; null leads nowhere. */
export async function isSameFolder(one: string, other: string | null): Promise<boolean> {
  if (other === null) return false;
  const statsOf = (path: string) => stat(path).catch(() => null);
  const [a, b] = [await statsOf(one), await statsOf(other)];
  if (a !== null && b !== null) return a.dev === b.dev && a.ino === b.ino;
  return (await realPath(one)) === (await realPath(other));
}
