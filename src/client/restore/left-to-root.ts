import { lstat, stat } from 'node:fs/promises';

export interface LeftToRoot {
  readonly paths: readonly string[];
  /** The owner of the folder that they are in, as the kernel numbers it. */
  readonly uid: number;
  readonly gid: number;
}

/**
 * What root restored into a folder of another user, such as that of the node, who may not read it then.
 * @param paths those that are not there count for nothing
 * @returns null where there is nothing like that
 */
export async function leftToRoot(target: string, paths: readonly string[]): Promise<LeftToRoot | null> {
  const { uid, gid } = await stat(target);
  if (uid === 0) return null;
  const owners = await Promise.all(paths.map((path) => lstat(path).catch(() => null)));
  const ofRoot = paths.filter((_path, index) => owners[index]?.uid === 0);
  return ofRoot.length === 0 ? null : { paths: ofRoot, uid, gid };
}
