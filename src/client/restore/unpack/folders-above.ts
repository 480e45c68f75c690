/** The folders that a path of an archive lies in, the nearest first. */
export function foldersAbove(path: string): string[] {
  const above: string[] = [];
  for (let at = path.lastIndexOf('/'); at > 0; at = path.lastIndexOf('/', at - 1)) above.push(path.slice(0, at));
  return above;
}

/** These paths, and all folders that they lie in. */
export function withFoldersAbove(paths: readonly string[]): Set<string> {
  const all = new Set(paths);
  for (const path of paths) for (const folder of foldersAbove(path)) all.add(folder);
  return all;
}

/** Whether a path is one of some, or lies in one. */
export function isInSome(some: readonly { readonly path: string }[]): (path: string) => boolean {
  const paths = new Set(some.map(({ path }) => path));
  return (path) => paths.has(path) || foldersAbove(path).some((folder) => paths.has(folder));
}

/** Those that lie in no other one. */
export function rootsOf<T extends { readonly path: string }>(entries: readonly T[]): readonly T[] {
  const paths = new Set(entries.map(({ path }) => path));
  return entries.filter(({ path }) => !foldersAbove(path).some((folder) => paths.has(folder)));
}
