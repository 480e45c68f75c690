import { isAbsolute, join, relative, resolve } from 'node:path';
import type { Config } from '../../../mesh/config/config.js';
import { archiveRoots, isWithin, type Root } from '../../../mesh/terms/archive-roots.js';
import { compilePatterns } from '../../../mesh/terms/path-pattern.js';
import { rootsOf } from '../unpack/folders-above.js';
import type { Unpacked } from './config-after.js';

/** What a configuration names, and a restore of a whole backup does not bring to where it belongs. */
export interface NotInPlace {
  /** Outside the folder into which a restore brings it. */
  readonly elsewhere: readonly Elsewhere[];
  /** Not in the backup: it was made in part, or before that was named. */
  readonly absent: readonly Absent[];
}

/** Both paths are absolute. */
export interface Elsewhere {
  readonly path: string;
  readonly belongs: string;
}

export type Absent = Pick<Root, 'written' | 'name'>;

export interface Brought extends Omit<Unpacked, 'staging'> {
  isLeftOut(path: string): boolean;
  /** Of the backup; undefined where nothing tells it. */
  readonly set: string | undefined;
  /** Whose backup it is; undefined where nothing tells it. */
  readonly owner: string | undefined;
}

/** Compares a backup with the paths that a configuration names. */
export function notInPlace(config: Config, brought: Brought): NotInPlace {
  return { elsewhere: elsewhereOf(config, brought), absent: absentFrom(config, brought) };
}

/** Paths of the set that are absolute, or lead out of its folder. An archive has them without the leading slash. */
function elsewhereOf({ base, backup }: Config, { entries, isLeftOut, target, set }: Brought): readonly Elsewhere[] {
  if (target === '/') return [];
  const places = backup.sets.flatMap(({ name, source }) => {
    if (source.kind !== 'paths' || (set !== undefined && set !== name)) return [];
    return source.paths.filter((path) => leaves(base, path)).map((path) => resolve(base, path));
  });
  const there = entries.filter(({ path }) => places.includes(`/${path}`) && !isLeftOut(path));
  return rootsOf(there).map(({ path }) => ({ path: join(target, path), belongs: `/${path}` }));
}

function absentFrom({ base, backup, server }: Config, { entries, set, owner }: Brought): readonly Absent[] {
  const source = backup.sets.find(({ name }) => name === set)?.source;
  // What another server's configuration names was never in it.
  if (server.name !== owner || source?.kind !== 'paths') return [];
  const isExcluded = compilePatterns(source.exclude);
  return archiveRoots(source.paths, base).filter(({ written, name }) => {
    // `../x` has another name in the archive where the server had its files elsewhere; `.` has none.
    const isKnown = name !== '' && (isAbsolute(written) || !leaves(base, written));
    return isKnown && !isExcluded(name, true) && !entries.some(({ path }) => isWithin(path, name));
  });
}

/** Whether a path of a configuration is not in its folder by name. */
function leaves(base: string, path: string): boolean {
  return isAbsolute(path) || relative(base, resolve(base, path)).split('/')[0] === '..';
}
