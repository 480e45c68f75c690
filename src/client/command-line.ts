import { CommanderError } from 'commander';
import { exitCodes } from '../mesh/terms/exit-code.js';
import { Failure } from '../mesh/terms/failure.js';
import type { Output } from './render/output.js';
import { makeScreen, type Screen } from './render/screen.js';
import { type CommonFlags, type Context, makeContext } from './session/context.js';
import type { Run } from './usage/declare.js';
import { applyEnvironment } from './usage/environment.js';
import { makeProgram } from './usage/program.js';

/** What a process gives to the command line. */
export interface Outside extends Pick<Context, 'prompts' | 'clock' | 'env' | 'cwd' | 'signal' | 'stdin' | 'version'> {
  readonly out: Output;
  readonly err: Output;
}

/**
 * Runs one command and says everything there is to say about it.
 * @param args without the program itself
 * @returns the exit code; it never throws
 */
export async function runCommandLine(args: readonly string[], outside: Outside): Promise<number> {
  const { out, err, ...rest } = outside;
  let code = 0;
  const run: Run = async (body) => {
    const flags = program.opts<CommonFlags>();
    code = await body(makeContext({ ...rest, screen: screenFor(outside, flags), flags }));
  };
  const program = makeProgram(rest.version, out.write, err.write, run);
  try {
    applyEnvironment(program, outside.env);
    await program.parseAsync(args, { from: 'user' });
    return code;
  } catch (thrown) {
    const flags = program.opts<CommonFlags>();
    // Wrong usage may be found before `--json` is read.
    const json = flags.json === true || args.includes('--json');
    if (thrown instanceof CommanderError && harmless.includes(thrown.code)) {
      if (thrown.exitCode === 0) return 0;
      // The help says it to a person.
      if (!json) return exitCodes.usage;
    }
    const failure = thrown instanceof CommanderError ? usageFailure(thrown) : Failure.from(thrown);
    const screen = screenFor(outside, { ...flags, json });
    screen.failure(failure);
    if (failure.kind === 'failed') screen.detail(traceOf(failure));
    return exitCodes[failure.kind];
  }
}

function screenFor(
  { out, err, clock, env }: Outside,
  { json = false, quiet = false, verbose = false }: CommonFlags,
): Screen {
  const colour = (env['NO_COLOR'] ?? '') === '' && env['TERM'] !== 'dumb';
  return makeScreen({ out, err, clock, json, quiet, verbose, colour });
}

/** What the parser throws when it has only shown something: help that was asked for, or help for a missing command. */
const harmless = ['commander.help', 'commander.helpDisplayed', 'commander.version'];

function usageFailure({ code, message }: CommanderError): Failure {
  const said = harmless.includes(code) ? 'a command is missing' : message;
  const [what = '', near] = said.replace(/^error: /, '').split('\n');
  const hint = near?.replace(/^\((.*)\)$/, '$1') ?? 'See `anemone-peer --help`.';
  return new Failure('usage', what, { hint });
}

function traceOf(failure: Failure): string {
  const { cause } = failure;
  return (cause instanceof Error ? cause.stack : failure.stack) ?? failure.message;
}
