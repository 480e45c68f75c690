import type { UnpackedEntry } from '../unpack/unpack.js';

/** The entries that lie in no other entry: what a restore exchanges as a whole. */
export function rootsOf(entries: readonly UnpackedEntry[]): readonly UnpackedEntry[] {
  const paths = new Set(entries.map(({ path }) => path));
  return entries.filter(({ path }) => {
    for (let at = path.lastIndexOf('/'); at > 0; at = path.lastIndexOf('/', at - 1)) {
      if (paths.has(path.slice(0, at))) return false;
    }
    return true;
  });
}
