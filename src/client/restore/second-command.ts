import { access, constants } from 'node:fs/promises';
import { shellWord } from '../../mesh/terms/shell-word.js';
import type { Context } from '../session/context.js';
import type { RestoreOptions } from './options.js';

/** A backup as another call of `restore` finds it. */
export interface Again {
  /** Its name. */
  readonly label: string;
  /** The configuration through which its peers are reached; null where the call named them, or a file. */
  readonly config: string | null;
  readonly options: Pick<RestoreOptions, 'from' | 'allowUnauthenticated' | 'kit' | 'server' | 'peer' | 'ownership'>;
}

/**
 * The command that brings parts of the same backup to another folder, to be pasted into a shell.
 * @param names of the parts, in the archive
 */
export async function secondCommand(
  { env }: Pick<Context, 'env'>,
  again: Again,
  target: string,
  names: readonly string[],
): Promise<string> {
  const mayWrite = await access(target, constants.W_OK).then(
    () => true,
    ({ code }: NodeJS.ErrnoException) => code !== 'EACCES',
  );
  const words = [
    ...(mayWrite ? [] : ['sudo']),
    // From a checkout the programs are started with npx only.
    ...(env['npm_command'] === 'exec' ? ['npx'] : []),
    'anemone-peer',
    'restore',
    ...wordsOf(again),
    ...(again.options.ownership === true ? ['--ownership'] : []),
    '--target',
    target,
    ...names.flatMap((name) => ['--include', patternOf(name)]),
  ];
  return words.map(shellWord).join(' ');
}

function wordsOf({ label, config, options }: Again): readonly string[] {
  const { from, allowUnauthenticated, kit, server = '', peer = [] } = options;
  if (from !== undefined) return ['--from', from, ...(allowUnauthenticated ? ['--allow-unauthenticated'] : [])];
  if (config !== null) return [label, '--config', config];
  const named = kit === undefined ? ['--server', server] : ['--kit', kit];
  return [label, ...named, ...peer.flatMap((address) => ['--peer', address]), '--no-takeover'];
}

/** The pattern that fits this path alone. */
function patternOf(name: string): string {
  return `/${name.replace(/[\\*?[\]]/g, '\\$&').replace(/ $/, '\\ ')}`;
}
