import { Command, InvalidArgumentError } from 'commander';
import { declare, type Run } from './declare.js';
import { declareNightly } from './nightly.js';
import { declareRecovery } from './recovery.js';
import { declareServer } from './server.js';

const footer = `
Every flag can be set in the environment, as ANEMONE_<FLAG>: ANEMONE_TIMEOUT=30, ANEMONE_JSON=1.
Results go to standard output, everything else to standard error; NO_COLOR is obeyed.

Exit codes:
  0 done, all of it          10 no such backup             75 no peer reached; try again
  1 failed                   11 another run is under way  130 interrupted
  2 wrong usage or config    12 wrong key
  3 partly                   13 refused: identity, signature, digest, quota or path

Start with \`anemone-peer init\`. On the worst day: \`anemone-peer restore\`.`;

/**
 * The whole command line, as a tree that the parser, the help and the completion read. It ends the process for nobody: wrong
 * usage is thrown as a CommanderError.
 */
export function makeProgram(
  version: string,
  write: (text: string) => void,
  writeError: (text: string) => void,
  run: Run,
): Command {
  const program = new Command('anemone-peer')
    .description("Servers of a small VPN mesh that keep each other's encrypted backups.")
    .version(version, '-V, --version', 'show the version')
    .helpOption('-h, --help', 'show this help')
    .option('--config <file>', 'the configuration (default: ./config/config.yaml, /config/…, /etc/anemone/…)')
    .option('-q, --quiet', 'results and errors only')
    .option('-v, --verbose', 'also what helps to find a cause')
    .option('--json', 'one JSON document on standard output')
    .option('--timeout <seconds>', 'how long a silent peer is waited for', readSeconds)
    .configureHelp({ showGlobalOptions: true })
    .configureOutput({ writeOut: write, writeErr: writeError, outputError() {} })
    .exitOverride()
    .addHelpText('after', footer);
  declareServer(program, run);
  declareNightly(program, run);
  declareRecovery(program, run);
  declare(program, 'completion <shell>', 'print the completion for bash, zsh or fish', [
    ['source <(anemone-peer completion bash)', 'for this shell; put it in ~/.bashrc to keep it'],
    ['anemone-peer completion fish > ~/.config/fish/completions/anemone-peer.fish', 'for fish'],
  ]).action((shell) =>
    run(async (context) => (await import('../commands/completion.js')).printCompletion(context, shell, program)),
  );
  return program;
}

function readSeconds(text: string): number {
  const seconds = Number(text);
  if (!(seconds > 0 && seconds <= 86_400)) throw new InvalidArgumentError('It is a number of seconds, such as 30.');
  return seconds;
}
