import { isAbsolute } from 'node:path';
import { archiveRoots, isWithin, type Root } from '../../mesh/terms/archive-roots.js';
import { compilePatterns } from '../../mesh/terms/path-pattern.js';
import type { Context } from '../context.js';
import { type Brought, configAfter, leaves } from './elsewhere.js';

export type Absent = Pick<Root, 'written' | 'name'>;

/**
 * What the configuration that counts afterwards names for the set of a backup, and the backup has nothing of: it was made in
 * part, or before that was named.
 * @param brought.entries all that the archive has
 */
export async function absentFrom(context: Context, brought: Brought): Promise<readonly Absent[]> {
  const config = await configAfter(context, brought);
  const source = config?.backup.sets.find(({ name }) => name === brought.set)?.source;
  // What another server's configuration names was never in it.
  if (config === null || config.server.name !== brought.owner || source?.kind !== 'paths') return [];
  const isExcluded = compilePatterns(source.exclude);
  return archiveRoots(source.paths, config.base).filter(({ written, name }) => {
    // `../x` has another name in the archive where the server had its files elsewhere; `.` has none.
    const isKnown = name !== '' && (isAbsolute(written) || !leaves(config.base, written));
    return isKnown && !isExcluded(name, true) && !brought.entries.some(({ path }) => isWithin(path, name));
  });
}
