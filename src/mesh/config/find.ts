import { statSync } from 'node:fs';
import { basename, dirname, resolve } from 'node:path';
import { Failure } from '../terms/failure.js';

/**
 * The configuration file to use: what was asked for, `ANEMONE_CONFIG`, or the first that exists of the usual places.
 * A file that was named is taken at its word: whether it can be read is for {@link loadConfig} to say.
 * @throws Failure `config` that names every place, when there is none
 */
export function findConfig(explicit: string | undefined, env: NodeJS.ProcessEnv, cwd: string): string {
  const named = explicit ?? (env['ANEMONE_CONFIG'] || undefined);
  if (named !== undefined) return resolve(cwd, named);
  const places = [resolve(cwd, 'config/config.yaml'), '/config/config.yaml', '/etc/anemone/config.yaml'];
  const found = places.find(exists);
  if (found !== undefined) return found;
  throw new Failure('config', `no configuration: looked for ${places.join(', ')}`, { hint: withoutConfig });
}

/** What to do where there is no configuration. `init` makes none for a server that has an identity. */
export const withoutConfig =
  'If yours is elsewhere, name it with --config FILE or ANEMONE_CONFIG. For a new server, run `anemone-peer init`. For one that ' +
  'lost it, `anemone-peer restore latest --kit FILE --include config/config.yaml`.';

/** A place that may not be looked at counts as existing, so that the error is about the right file. */
function exists(path: string): boolean {
  try {
    return statSync(path, { throwIfNoEntry: false }) !== undefined;
  } catch (thrown) {
    return (thrown as NodeJS.ErrnoException).code !== 'ENOTDIR';
  }
}

/** The folder that relative paths in a configuration are relative to; `config/config.yaml` belongs to what is around it. */
export function baseOf(file: string): string {
  const folder = dirname(resolve(file));
  return basename(folder) === 'config' ? dirname(folder) : folder;
}
