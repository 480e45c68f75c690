import { createHash } from 'node:crypto';
import { createReadStream, type Stats } from 'node:fs';
import { lstat, readdir, readlink } from 'node:fs/promises';
import { join } from 'node:path';
import { isInSome, withFoldersAbove } from '../unpack/folders-above.js';
import type { UnpackedEntry } from '../unpack/unpack.js';

/** What a restore would do, as paths relative to the target. */
export interface Comparison {
  /** Not in the target. */
  readonly added: readonly string[];
  /** There, but with another kind, content, mode or owner, or where this user may not look. */
  readonly changed: readonly string[];
  readonly same: readonly string[];
  /** Inside a folder that is replaced as a whole, and not in the backup: kept beside it only. As far as this user may look. */
  readonly dropped: readonly string[];
}

export interface CompareOptions {
  /** Absolute. */
  readonly target: string;
  /** Whether owners and groups count. */
  readonly ownership: boolean;
  /** Ends it anywhere: a file may be large. */
  readonly signal: AbortSignal;
}

/**
 * Compares what was unpacked with what is there: kind, mode, and content or what a link says; owners where they
 * are restored too. Times do not count.
 * @param units what is exchanged as a whole; a folder around them stays as it is, and is not compared
 */
export async function compareTrees(
  entries: readonly UnpackedEntry[],
  units: readonly UnpackedEntry[],
  options: CompareOptions,
): Promise<Comparison> {
  const { target, signal } = options;
  const found = { added: [] as string[], changed: [] as string[], same: [] as string[] };
  const isInUnit = isInSome(units);
  const byPath = new Map(entries.filter(({ path }) => isInUnit(path)).map((entry) => [entry.path, entry]));
  for (const entry of byPath.values()) {
    signal.throwIfAborted();
    found[await unlessBarred(standing(entry, byPath, options), 'changed')].push(entry.path);
  }
  const dropped: string[] = [];
  const withFolders = withFoldersAbove([...byPath.keys()]);
  // Where the archive only implies a folder, what is there and is none is told nowhere else.
  const isBrought = (path: string, isFolder: boolean): boolean => (isFolder ? withFolders : byPath).has(path);
  for (const { path } of units) {
    const stats = await unlessBarred(examine(join(target, path)), null);
    if (stats !== null) await collectOthers(target, path, stats.isDirectory(), isBrought, dropped);
  }
  return { ...found, dropped };
}

async function standing(
  entry: UnpackedEntry,
  byPath: ReadonlyMap<string, UnpackedEntry>,
  { target, ownership, signal }: CompareOptions,
): Promise<'added' | 'changed' | 'same'> {
  const path = join(target, entry.path);
  const stats = await examine(path);
  if (stats === null) return 'added';
  const content = contentOf(entry, byPath);
  if (ownership && !isOwnedAlike(stats, content)) return 'changed';
  return (await isSame(content, path, stats, signal)) ? 'same' : 'changed';
}

/** The file that a chain of hard links leads to; the archive was refused if it did not lead to one. */
function contentOf(entry: UnpackedEntry, byPath: ReadonlyMap<string, UnpackedEntry>): UnpackedEntry {
  const joined = entry.kind === 'hard-link' ? byPath.get(entry.target) : undefined;
  return joined === undefined ? entry : contentOf(joined, byPath);
}

/** What no archive has, as what the predecessor's layout adds, is whose it is. */
function isOwnedAlike(stats: Stats, { uid = stats.uid, gid = stats.gid }: UnpackedEntry): boolean {
  return stats.uid === uid && stats.gid === gid;
}

async function isSame(entry: UnpackedEntry, path: string, stats: Stats, signal: AbortSignal): Promise<boolean> {
  if (entry.kind === 'symlink') return stats.isSymbolicLink() && (await readlink(path)) === entry.target;
  if ((stats.mode & 0o7777) !== entry.mode) return false;
  if (entry.kind === 'folder') return stats.isDirectory();
  return stats.isFile() && stats.size === entry.size && (await digestOf(path, signal)) === entry.sha256;
}

async function collectOthers(
  target: string,
  path: string,
  isFolder: boolean,
  isBrought: (path: string, isFolder: boolean) => boolean,
  dropped: string[],
): Promise<void> {
  if (!isBrought(path, isFolder)) dropped.push(path);
  else if (isFolder) {
    for (const item of await unlessBarred(readdir(join(target, path), { withFileTypes: true }), [])) {
      await collectOthers(target, `${path}/${item.name}`, item.isDirectory(), isBrought, dropped);
    }
  }
}

async function digestOf(path: string, signal: AbortSignal): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path, { signal })) hash.update(chunk);
  return hash.digest('hex');
}

/** What is at a path, also where something that is no folder lies above; a link is not followed. */
export function examine(path: string): Promise<Stats | null> {
  return lstat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return null;
    throw error;
  });
}

/** What was found, or what counts where this user may not look: whether it can be replaced is for the planning to say. */
export function unlessBarred<T>(looking: Promise<T>, otherwise: T): Promise<T> {
  return looking.catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'EACCES') return otherwise;
    throw error;
  });
}
