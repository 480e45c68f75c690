import { existsSync } from 'node:fs';
import { isAbsolute, join, relative, resolve } from 'node:path';
import type { Config } from '../../mesh/config/config.js';
import { decodeConfig } from '../../mesh/config/document.js';
import { parseConfig, readConfigBytes } from '../../mesh/config/load.js';
import type { Context } from '../context.js';
import { rootsOf } from './place/roots.js';
import { configFor } from './rebuild.js';
import type { UnpackedEntry } from './unpack/unpack.js';

/** Something that belongs outside the folder into which a restore brings it. Both paths are absolute. */
export interface Elsewhere {
  readonly path: string;
  readonly belongs: string;
}

export interface Brought {
  readonly entries: readonly UnpackedEntry[];
  readonly staging: string;
  /** Absolute: where it goes. */
  readonly target: string;
  /** Of the backup; undefined where nothing tells it. */
  readonly set: string | undefined;
  /** Whose backup it is; undefined where nothing tells it. */
  readonly owner: string | undefined;
}

/**
 * What of a backup belongs elsewhere, by the configuration that counts afterwards: paths of its set that are absolute, or lead
 * out of its folder. An archive has them without the leading slash.
 */
export async function elsewhereOf(context: Context, brought: Brought): Promise<readonly Elsewhere[]> {
  const { entries, target, set } = brought;
  const config = target === '/' ? null : await configAfter(context, brought);
  if (config === null) return [];
  const places = config.backup.sets.flatMap(({ name, source }) => {
    if (source.kind !== 'paths' || (set !== undefined && set !== name)) return [];
    return source.paths.filter((path) => leaves(config.base, path)).map((path) => resolve(config.base, path));
  });
  return rootsOf(entries.filter(({ path }) => places.includes(`/${path}`))).map(({ path }) => ({
    path: join(target, path),
    belongs: `/${path}`,
  }));
}

/** Whether a path of a configuration is not in its folder by name. */
export function leaves(base: string, path: string): boolean {
  return isAbsolute(path) || relative(base, resolve(base, path)).split('/')[0] === '..';
}

/**
 * The configuration that is brought, or is in the target, or is this machine's; null where none can be read: what is wrong
 * with it is told by those who need it.
 */
export async function configAfter(context: Context, { entries, staging, target }: Brought): Promise<Config | null> {
  try {
    const file = configFor(target, entries);
    if (file === undefined) return await context.loadConfig();
    const staged = join(staging, relative(target, file));
    const bytes = await readConfigBytes(existsSync(staged) ? staged : file);
    return parseConfig(file, decodeConfig(file, bytes)).config;
  } catch {
    return null;
  }
}
