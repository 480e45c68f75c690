import { existsSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';
import type { Config } from '../../../mesh/config/config.js';
import { decodeConfig, readDocument } from '../../../mesh/config/document.js';
import { baseOf } from '../../../mesh/config/find.js';
import { parseConfig, readConfigBytes } from '../../../mesh/config/load.js';
import { realPath, withoutLinksAbove } from '../../../mesh/files/real-path.js';
import type { Context } from '../../session/context.js';
import type { UnpackedEntry } from '../unpack/unpack.js';
import { configFileHere } from './server-here.js';

/** What was unpacked, and is not in its place yet. */
export interface Unpacked {
  /** All that the archive has. */
  readonly entries: readonly UnpackedEntry[];
  readonly staging: string;
  /** Absolute: where it goes. */
  readonly target: string;
}

/** The configuration that counts after a restore. */
export interface ConfigAfter {
  /** Absolute: where the target has it, or will have it; undefined where neither the backup nor the target has one. */
  readonly file: string | undefined;
  /** This machine's where there is no file; null where it cannot be read: what is wrong with it is told by those who need it. */
  readonly config: Config | null;
  /** Whether the backup has one in a place where it is looked for. */
  readonly isBrought: boolean;
}

/** @param isPutAside whether what is at a path of the target goes with what the restore exchanges */
export async function configAfter(
  context: Context,
  { entries, staging, target }: Unpacked,
  isPutAside: (path: string) => boolean,
): Promise<ConfigAfter> {
  const brought = filesOf(entries);
  const places = await placesIn(context, target);
  const isBrought = places.some((path) => brought.has(path));
  const place = places.find((path) => brought.has(path) || (existsSync(join(target, path)) && !isPutAside(path)));
  if (place === undefined) return { file: undefined, config: await context.loadConfig().catch(() => null), isBrought };
  const file = join(target, place);
  const staged = join(staging, place);
  return { file, config: await readIfFine(file, existsSync(staged) ? staged : file), isBrought };
}

/** Where nodes keep their data, which no backup has: by what the backup brings, by what is in the target, and by this machine's. */
export async function dataFolders(
  context: Context,
  { entries, staging, target }: Unpacked,
): Promise<readonly string[]> {
  const brought = filesOf(entries);
  const here = configFileHere(context);
  const places = await placesIn(context, target);
  const first = places.find((place) => brought.has(place) || existsSync(join(target, place)));
  const told = places.flatMap((place) => {
    const file = join(target, place);
    // A file of this name that does not count may be another program's.
    const read = place === first ? dataIn : dataOf;
    return [read(file, file), ...(brought.has(place) ? [read(file, join(staging, place))] : [])];
  });
  if (here !== null) told.push(dataIn(here, here));
  return (await Promise.all(told)).filter((folder) => folder !== null);
}

function filesOf(entries: Unpacked['entries']): ReadonlySet<string> {
  return new Set(entries.filter(({ kind }) => kind !== 'folder').map(({ path }) => path));
}

/** Where a configuration has the data, also one in which something else is wrong; null where nothing there tells it. */
async function dataIn(file: string, at: string): Promise<string | null> {
  const data = await dataOf(file, at);
  if (data !== null) return data;
  try {
    const { value } = readDocument(decodeConfig(file, await readConfigBytes(at)));
    const data = (value as { server?: { data?: unknown } | null } | null | undefined)?.server?.data;
    return typeof data === 'string' ? resolve(baseOf(file), data) : null;
  } catch {
    return null;
  }
}

async function dataOf(file: string, at: string): Promise<string | null> {
  return (await readIfFine(file, at))?.server.data ?? null;
}

/** Where a restore finds the configuration of a server without being told, relative to the target. */
const usualPlaces = ['config/config.yaml', 'config.yaml'];

/** Where the configuration may be: what was named counts more, in the target or below it. */
async function placesIn({ flags, env, cwd }: Context, target: string): Promise<readonly string[]> {
  const named = flags.config ?? (env['ANEMONE_CONFIG'] || undefined);
  if (named === undefined) return usualPlaces;
  const path = resolve(cwd, named);
  const places = [relative(target, path), relative(await realPath(target), await withoutLinksAbove(path))];
  return [...places.filter((place) => place !== '' && place.split('/')[0] !== '..'), ...usualPlaces];
}

/** The configuration of a file that may lie elsewhere as yet; null where it is not there, or wrong. */
async function readIfFine(file: string, at: string): Promise<Config | null> {
  try {
    return parseConfig(file, decodeConfig(file, await readConfigBytes(at))).config;
  } catch {
    return null;
  }
}
