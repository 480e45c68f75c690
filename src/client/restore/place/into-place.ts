import { chmod, lstat, mkdir, readdir, realpath, rename, rmdir } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { syncFolder } from '../../../mesh/files/sync-folder.js';
import { Failure } from '../../../mesh/terms/failure.js';
import { patternFor } from '../../../mesh/terms/path-pattern.js';
import { shellWord } from '../../../mesh/terms/shell-word.js';
import { foldersAbove, isInSome } from '../unpack/folders-above.js';
import { readMounts } from '../unpack/mounts.js';
import { removeStaleStaging, removeTree } from '../unpack/staging.js';
import { copyTree } from './copy-tree.js';
import { type Exchange, type Placement, planExchanges, previousOf } from './exchanges.js';
import { lockIfFree } from './target.js';

export interface Switched {
  /** Absolute path that now holds what was restored. */
  readonly path: string;
  /** Absolute path of what was there before; null when nothing was. */
  readonly previous: string | null;
}

/** One step that can be taken back. */
type Undo = () => Promise<void>;

/**
 * Exchanges what was unpacked for what is there, one rename a unit, and keeps what was there beside it. Everything that
 * can be known to go wrong is found before the first rename; when one fails all the same, those before are taken back.
 * A folder that an overlay cannot rename stays, with its mode and time, and what is in it is exchanged one by one.
 * @throws Failure `invalid` or `conflict` before anything was changed; `failed` or `no-space` after
 *   everything was put back, or saying what could not be
 * @param signal heeded until the first rename: copies may take minutes
 */
export async function intoPlace(
  placement: Placement,
  signal: AbortSignal,
): Promise<{ readonly switched: readonly Switched[]; readonly warnings: readonly string[] }> {
  const { target } = placement.ground;
  const leftovers = [placement.staging];
  const unlocks: (() => Promise<void>)[] = [];
  const undos: Undo[] = [];
  const warnings: string[] = [];
  try {
    // A person who was asked meanwhile may have mounted a disk.
    const now = { ...placement, ground: { ...placement.ground, mounts: await readMounts() } };
    const { copies, exchanges, unplaceable } = await planExchanges(now);
    for (const { why } of unplaceable) throw why;
    await openAround(placement);
    const copied = new Map<string, Map<number, string>>();
    for (const { from, to, mount } of copies) {
      const folder = dirname(to);
      const joined = copied.get(mount) ?? new Map<number, string>();
      copied.set(mount, joined);
      await step(dirname(folder), undos, async () => {
        if (!leftovers.includes(folder)) {
          const shelf = dirname(folder);
          const unlock = await lockIfFree(shelf);
          if (unlock !== null) {
            unlocks.push(unlock);
            warnings.push(...(await removeStaleStaging(shelf)));
          }
          // One that is there already is another restore's.
          await mkdir(folder, { mode: 0o700 });
          leftovers.push(folder);
        }
        await copyTree(from, to, { copied: joined, signal });
      });
    }
    signal.throwIfAborted();
    const switched: Switched[] = [];
    for (const exchange of exchanges) {
      // Nobody can know before that a folder may not be changed by anyone, or that something holds it.
      const wayOut = `Mend that, or restore all else with --exclude ${shellWord(patternFor(relative(target, exchange.path)))}.`;
      switched.push(...(await step(exchange.path, undos, () => put(exchange, placement.stamp, undos), wayOut)));
    }
    await step(target, undos, () => syncFolders(switched, exchanges));
    return { switched, warnings };
  } catch (error) {
    throw Failure.from(error, `cannot restore into ${target}`);
  } finally {
    // What cannot be removed now does no harm: the next restore recognises it by its name.
    for (const path of leftovers) await removeTree(path).catch(() => {});
    for (const unlock of unlocks) await unlock();
  }
}

/** Tells of a path in the archive, or of what lay there before, whether it is in what was exchanged. */
export async function inSwitched(target: string, switched: readonly Switched[]): Promise<(path: string) => boolean> {
  const real = await realpath(target);
  return isInSome(switched.map(({ path }) => ({ path: relative(real, path) })));
}

/** A staged folder around a unit is only taken apart, and may forbid that. */
async function openAround({ staging, units }: Placement): Promise<void> {
  const around = new Set(units.flatMap(({ path }) => foldersAbove(path)));
  // One above is always shorter than what lies in it.
  for (const folder of [...around].sort((a, b) => a.length - b.length)) await chmod(join(staging, folder), 0o700);
}

async function put(
  { staged, path, previous, folders }: Exchange,
  stamp: string,
  undos: Undo[],
): Promise<readonly Switched[]> {
  for (const folder of folders) {
    await mkdir(folder, { mode: 0o755 });
    undos.push(() => rmdir(folder));
  }
  try {
    if (previous !== null) await move(path, previous, undos);
  } catch (error) {
    // So an overlay refuses to rename a folder of its lower layers, such as those of a container's image.
    if ((error as NodeJS.ErrnoException).code !== 'EXDEV') throw error;
    if ((await lstat(staged)).isDirectory()) return putChildren(staged, path, stamp, undos);
    const why =
      "the folder there, as one of a container's image, cannot be renamed, and the backup has no folder of that name";
    throw new Failure('failed', why, { cause: error });
  }
  await move(staged, path, undos);
  return [{ path, previous }];
}

async function putChildren(staged: string, folder: string, stamp: string, undos: Undo[]): Promise<readonly Switched[]> {
  // It is only taken apart, and may forbid that.
  await chmod(staged, 0o700);
  const switched: Switched[] = [];
  for (const name of await readdir(staged)) {
    const path = join(folder, name);
    const exchange = { staged: join(staged, name), path, previous: await previousOf(path, stamp), folders: [] };
    switched.push(...(await put(exchange, stamp, undos)));
  }
  return switched;
}

/** @param wayOut what to do where the failure does not say it */
async function step<T>(path: string, undos: Undo[], action: () => Promise<T>, wayOut?: string): Promise<T> {
  try {
    return await action();
  } catch (error) {
    const { kind, message, hint = wayOut, retryable } = Failure.from(error);
    const why = `${path} cannot be put into place (${message}); ${await takeBack(undos)}`;
    throw new Failure(kind, why, { cause: error, hint, retryable });
  }
}

/** @returns how that ended, in words */
async function takeBack(undos: Undo[]): Promise<string> {
  const left: string[] = [];
  for (const undo of undos.reverse()) {
    await undo().catch((problem: Error) => left.push(problem.message));
  }
  return left.length === 0 ? 'everything was put back as it was' : `not all could be put back: ${left.join('; ')}`;
}

async function move(from: string, to: string, undos: Undo[]): Promise<void> {
  await renameAny(from, to);
  undos.push(() => renameAny(to, from));
}

/** A folder that its owner may not write to cannot get another parent, so it is opened for that moment. */
async function renameAny(from: string, to: string): Promise<void> {
  const stats = await lstat(from);
  if (!stats.isDirectory() || (stats.mode & 0o200) !== 0 || dirname(from) === dirname(to)) {
    await rename(from, to);
    return;
  }
  await chmod(from, stats.mode | 0o200);
  try {
    await rename(from, to);
  } catch (error) {
    await chmod(from, stats.mode);
    throw error;
  }
  await chmod(to, stats.mode);
}

async function syncFolders(switched: readonly Switched[], exchanges: readonly Exchange[]): Promise<void> {
  const made = [...switched.map(({ path }) => path), ...exchanges.flatMap(({ folders }) => folders)];
  for (const folder of new Set(made.map((path) => dirname(path)))) await syncFolder(folder);
}
