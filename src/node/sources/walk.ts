import { isUtf8 } from 'node:buffer';
import type { BigIntStats } from 'node:fs';
import { lstat, readdir, readlink, realpath, stat } from 'node:fs/promises';
import { posix } from 'node:path';
import { collisionCheck, isWithin, type Root } from '../../mesh/terms/archive-roots.js';
import { printable } from '../../mesh/terms/clean-text.js';
import { Failure } from '../../mesh/terms/failure.js';

/** One thing found on disk that belongs into the archive. */
export interface Found {
  readonly absolute: string;
  /** The member name, without leading or trailing slash. */
  readonly name: string;
  readonly kind: 'file' | 'folder' | 'symlink';
  readonly stats: BigIntStats;
  /** What a symlink says, untouched; empty for everything else. */
  readonly target: string;
}

export interface WalkRules {
  excluded(name: string, isFolder: boolean): boolean;
  /** Absolute folders that are never entered. */
  readonly never: readonly string[];
  warn(message: string): void;
  /** Told of each file and folder before it is looked at. */
  reading(absolute: string): void;
}

/**
 * Everything below the roots that is not excluded: parents before children, children in the order of the bytes of their
 * names. Symlinks are reported and never followed. What cannot be kept is told through `warn` and left out.
 * @throws Failure `config` when none of the roots exists
 */
export async function* walk(roots: readonly Root[], rules: WalkRules): AsyncGenerator<Found> {
  const never = await identities(rules.never);
  const forbidden = await Promise.all(rules.never.map(resolved));
  const collide = collisionCheck(roots);
  const missing: string[] = [];

  async function* below(absolute: string, name: string, root: Root): AsyncGenerator<Found> {
    const label = name === '' ? root.written : name;
    rules.reading(absolute);
    const isEmpty = (): void => {
      // The folder on which a disk is mounted is there without it, too.
      if (name === root.name) {
        rules.warn(`${root.written} is empty: is its disk mounted? If it is to be empty, remove it from \`paths\``);
      }
    };
    for (const child of await childrenOf(absolute, label, rules.warn, isEmpty)) {
      const childName = name === '' ? child : `${name}/${child}`;
      collide(childName, root);
      yield* visit(posix.join(absolute, child), childName, root);
    }
  }

  async function* visit(absolute: string, name: string, root: Root): AsyncGenerator<Found> {
    rules.reading(absolute);
    const stats = await examine(absolute, name, rules.warn);
    if (stats === null) return;
    const isFolder = stats.isDirectory();
    if ((isFolder && never.has(inodeOf(stats))) || rules.excluded(name, isFolder)) return;
    const found = await recognise(absolute, name, stats, rules.warn);
    if (found === null) return;
    if (found.kind === 'symlink' && name === root.name) {
      rules.warn(`${root.written} is a symbolic link: the link is kept, what it points to is not`);
    }
    yield found;
    if (found.kind === 'folder') yield* below(absolute, name, root);
  }

  for (const root of roots) {
    rules.reading(root.absolute);
    if (!(await exists(root.absolute))) {
      missing.push(root.written);
      continue;
    }
    const real = await resolved(root.absolute);
    if (forbidden.some((folder) => isWithin(real, folder))) {
      rules.warn(`${root.written} is left out: it lies in a folder where this node keeps backups or logs`);
      continue;
    }
    // The folder behind `.` has no entry of its own, so it may well be reached through a link.
    yield* root.name === '' ? below(root.absolute, '', root) : visit(root.absolute, root.name, root);
  }
  if (missing.length === roots.length) {
    throw new Failure('config', `paths: nothing to back up: ${missing.join(', ')} does not exist`, {
      hint: 'Correct `paths` of this set in the configuration.',
    });
  }
  for (const written of missing) rules.warn(`${written} does not exist`);
}

async function childrenOf(
  absolute: string,
  label: string,
  warn: (message: string) => void,
  isEmpty: () => void,
): Promise<string[]> {
  let names: Buffer[];
  try {
    names = await readdir(absolute, { encoding: 'buffer' });
  } catch (error) {
    warn(`${quote(label)} is left out: the folder cannot be read (${reason(error)})`);
    return [];
  }
  if (names.length === 0) isEmpty();
  names.sort(Buffer.compare);
  const kept: string[] = [];
  for (const name of names) {
    // A member name is text, and a name that is not would come back as another one.
    if (isUtf8(name)) kept.push(name.toString());
    else warn(`${quote(posix.join(label, name.toString('latin1')))} is left out: its name is not UTF-8; rename it`);
  }
  return kept;
}

async function examine(absolute: string, name: string, warn: (message: string) => void): Promise<BigIntStats | null> {
  try {
    return await lstat(absolute, { bigint: true });
  } catch (error) {
    warn(`${quote(name)} is left out: ${reason(error)}`);
    return null;
  }
}

async function recognise(
  absolute: string,
  name: string,
  stats: BigIntStats,
  warn: (message: string) => void,
): Promise<Found | null> {
  const found = { absolute, name, stats, target: '' };
  if (stats.isFile()) return { ...found, kind: 'file' };
  if (stats.isDirectory()) return { ...found, kind: 'folder' };
  if (!stats.isSymbolicLink()) {
    warn(`${quote(name)} is left out: it is a ${speciesOf(stats)}; where it is not wanted, name it under \`exclude\``);
    return null;
  }
  try {
    const target = await readlink(absolute, { encoding: 'buffer' });
    if (isUtf8(target)) return { ...found, kind: 'symlink', target: target.toString() };
    warn(`${quote(name)} is left out: this link points to a name that is not UTF-8`);
  } catch (error) {
    warn(`${quote(name)} is left out: ${reason(error)}`);
  }
  return null;
}

function speciesOf(stats: BigIntStats): string {
  if (stats.isSocket()) return 'socket';
  return stats.isFIFO() ? 'named pipe' : 'device';
}

async function identities(folders: readonly string[]): Promise<ReadonlySet<string>> {
  const found = await Promise.all(folders.map((folder) => stat(folder, { bigint: true }).catch(() => null)));
  return new Set(found.filter((stats) => stats !== null).map(inodeOf));
}

/** The device and inode: the same for all names of one file, whichever links or mounts lead to it. */
export function inodeOf(stats: BigIntStats): string {
  return `${stats.dev}:${stats.ino}`;
}

function resolved(path: string): Promise<string> {
  return realpath(path).catch(() => path);
}

async function exists(path: string): Promise<boolean> {
  return lstat(path).then(
    () => true,
    (error: NodeJS.ErrnoException) => error.code !== 'ENOENT' && error.code !== 'ENOTDIR',
  );
}

/** A name for a message: what is unprintable escaped, so that a file's name cannot write on a terminal. */
export function quote(name: string): string {
  return `"${printable(name)}"`;
}

export function reason(error: unknown): string {
  const code = (error as NodeJS.ErrnoException).code;
  if (code === 'ENOENT') return 'it disappeared';
  if (code === 'EACCES' || code === 'EPERM') return `no permission, ${code}`;
  return code ?? String(error);
}
