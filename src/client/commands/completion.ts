import type { Command } from 'commander';
import { Failure } from '../../mesh/terms/failure.js';
import type { Context, ExitCode } from '../session/context.js';

/** One command of the tree: its words (`peer add`; empty for the program), and what may follow. */
interface Place {
  readonly path: string;
  readonly words: readonly { readonly word: string; readonly meaning: string }[];
}

const writers: Readonly<Record<string, (places: readonly Place[]) => string>> = { bash, zsh, fish };

/** @throws Failure `usage` for a shell that is not known */
export async function printCompletion({ screen }: Context, shell: string, program: Command): Promise<ExitCode> {
  const write = Object.hasOwn(writers, shell) ? writers[shell] : undefined;
  if (write === undefined) {
    throw new Failure('usage', `there is no completion for ${JSON.stringify(shell)}`, {
      hint: `There is one for ${Object.keys(writers).join(', ')}.`,
    });
  }
  const script = write(placesOf(program));
  screen.result({ shell, script }, () => script);
  return 0;
}

function placesOf(
  command: Command,
  path: readonly string[] = [],
  inherited: readonly Place['words'][number][] = [],
): Place[] {
  const flags = [
    ...command.options.flatMap(({ long, description }) => (long ? [{ word: long, meaning: description }] : [])),
    ...inherited,
  ];
  const children = command.commands.map((child) => ({ word: child.name(), meaning: child.description() }));
  // Of what commands take, only this is known beforehand.
  const shells = path.at(-1) === 'completion' ? Object.keys(writers) : [];
  const choices = [...children, ...shells.map((word) => ({ word, meaning: `for ${word}` }))];
  return [
    { path: path.join(' '), words: [...choices, ...flags, { word: '--help', meaning: 'show the help' }] },
    ...command.commands.flatMap((child) => placesOf(child, [...path, child.name()], flags)),
  ];
}

/** `peer add` follows `peer` by the word `add`: the patterns of a shell's `case` that move down the tree. */
function steps(places: readonly Place[]): string {
  const all = places.filter(({ path }) => path !== '').map(({ path }) => (path.includes(' ') ? path : ` ${path}`));
  return all.map((step) => `"${step}"`).join('|');
}

function bash(places: readonly Place[]): string {
  const cases = places.map(
    ({ path, words }) => `    "${path}") choices="${words.map(({ word }) => word).join(' ')}" ;;`,
  );
  return `_anemone_peer() {
  local place="" choices="" i
  for ((i = 1; i < COMP_CWORD; i++)); do
    case "$place \${COMP_WORDS[i]}" in
      ${steps(places)}) place="\${place:+$place }\${COMP_WORDS[i]}" ;;
    esac
  done
  case "$place" in
${cases.join('\n')}
  esac
  COMPREPLY=($(compgen -W "$choices" -- "\${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _anemone_peer anemone-peer`;
}

function zsh(places: readonly Place[]): string {
  const cases = places.map(({ path, words }) => {
    const choices = words.map(({ word, meaning }) => quoted(`${word}:${meaning.replaceAll(':', '\\:')}`));
    return `    "${path}") choices=(${choices.join(' ')}) ;;`;
  });
  return `#compdef anemone-peer
_anemone_peer() {
  local place="" word
  local -a choices
  for word in "\${(@)words[2,CURRENT-1]}"; do
    case "$place $word" in
      ${steps(places)}) place="\${place:+$place }$word" ;;
    esac
  done
  case "$place" in
${cases.join('\n')}
  esac
  _describe 'anemone-peer' choices || _files
}
compdef _anemone_peer anemone-peer`;
}

function fish(places: readonly Place[]): string {
  const lines = places.flatMap(({ path, words }) =>
    words.map(({ word, meaning }) => {
      const condition =
        path === ''
          ? '__fish_use_subcommand'
          : path
              .split(' ')
              .map((part) => `__fish_seen_subcommand_from ${part}`)
              .join('; and ');
      const what = word.startsWith('--') ? `-l ${word.slice(2)}` : `-a ${word}`;
      return `complete -c anemone-peer -n ${quoted(condition)} ${what} -d ${quoted(meaning)}`;
    }),
  );
  return lines.join('\n');
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
