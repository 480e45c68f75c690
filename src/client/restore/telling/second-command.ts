import { access, constants } from 'node:fs/promises';
import { patternFor } from '../../../mesh/terms/path-pattern.js';
import { shellWord } from '../../../mesh/terms/shell-word.js';
import type { Context } from '../../session/context.js';
import type { SourceOptions } from '../source/source.js';

/** What of a call of `restore` another one for the same backup says again. */
export interface AgainOptions extends Pick<SourceOptions, 'kit' | 'server' | 'peer'> {
  readonly from?: string;
  readonly allowUnauthenticated?: boolean;
  readonly ownership?: boolean;
  /** Patterns of what to restore, and of what not. */
  readonly include?: readonly string[];
  readonly exclude?: readonly string[];
}

/** A backup as another call of `restore` finds it. */
export interface Again {
  /** Its name. */
  readonly label: string;
  /** The configuration through which its peers are reached; null where the call named them, or a file. */
  readonly config: string | null;
  readonly options: AgainOptions;
}

/** The configuration through which a call reaches the peers that it does not name. */
export async function configNamedBy({ loadConfig }: Context, { kit, server }: AgainOptions): Promise<string | null> {
  return (kit ?? server) === undefined ? (await loadConfig()).file : null;
}

/**
 * The command that brings parts of the same backup to another folder, to be pasted into a shell.
 * @param names of the parts, in the archive
 */
export async function secondCommand(
  context: Pick<Context, 'env'>,
  again: Again,
  target: string,
  names: readonly string[],
): Promise<string> {
  const sudo = await needsRoot(target);
  // What lies all over a machine belongs to many, and root, who has to bring it there, can give it back to them.
  const ownership = again.options.ownership === true || (target === '/' && (sudo || process.geteuid?.() === 0));
  const words = [
    ...(ownership ? ['--ownership'] : []),
    '--target',
    target,
    ...named('--include', names.map(patternFor)),
  ];
  return commandOf(context, sudo, again, words);
}

/**
 * The command by which root brings the same parts to the same place, with their owners.
 * @param isBack whether the server has taken its place already
 */
export function sameWithOwners(context: Pick<Context, 'env'>, again: Again, target: string, isBack: boolean): string {
  const { include = [], exclude = [] } = again.options;
  const words = ['--ownership', '--target', target, ...named('--include', include), ...named('--exclude', exclude)];
  return commandOf(context, false, again, [...(isBack ? ['--no-takeover'] : []), ...words]);
}

async function needsRoot(target: string): Promise<boolean> {
  return access(target, constants.W_OK).then(
    () => false,
    ({ code }: NodeJS.ErrnoException) => code === 'EACCES',
  );
}

function commandOf({ env }: Pick<Context, 'env'>, sudo: boolean, again: Again, more: readonly string[]): string {
  const words = [
    ...(sudo ? ['sudo'] : []),
    // From a checkout the programs are started with npx only.
    ...(env['npm_command'] === 'exec' ? ['npx'] : []),
    'anemone-peer',
    'restore',
    ...wordsOf(again),
    ...more,
  ];
  return words.map(shellWord).join(' ');
}

function named(flag: string, values: readonly string[]): readonly string[] {
  return values.flatMap((value) => [flag, value]);
}

function wordsOf({ label, config, options }: Again): readonly string[] {
  const { from, allowUnauthenticated, kit, server = '', peer = [] } = options;
  if (from !== undefined) return ['--from', from, ...(allowUnauthenticated ? ['--allow-unauthenticated'] : [])];
  if (config !== null) return [label, '--config', config];
  const named = kit === undefined ? ['--server', server] : ['--kit', kit];
  return [label, ...named, ...peer.flatMap((address) => ['--peer', address]), '--no-takeover'];
}
