#!/usr/bin/env node
import { readFileSync } from 'node:fs';
import { CommanderError } from 'commander';
import { systemClock } from '../mesh/terms/clock.js';
import { Failure, type FailureKind } from '../mesh/terms/failure.js';
import { type CommonFlags, makeContext } from './context.js';
import { makePrompts } from './prompts.js';
import { makeScreen, type Output, type Screen } from './render/screen.js';
import type { Run } from './usage/declare.js';
import { applyEnvironment } from './usage/environment.js';
import { makeProgram } from './usage/program.js';

/** The one translation of a Failure into an exit code. */
const exitCodes: Readonly<Record<FailureKind, number>> = {
  failed: 1,
  usage: 2,
  config: 2,
  'not-found': 10,
  locked: 11,
  'wrong-key': 12,
  untrusted: 13,
  forbidden: 13,
  conflict: 13,
  'no-space': 13,
  invalid: 13,
  damaged: 13,
  unreachable: 75,
  timeout: 75,
  interrupted: 130,
};

async function main(): Promise<number> {
  const out = outputTo(process.stdout);
  const err = outputTo(process.stderr);
  const signal = interruptSignal();
  let code = 0;
  const run: Run = async (body) => {
    const flags = program.opts<CommonFlags>();
    const context = makeContext({
      screen: screenFor(flags),
      prompts: makePrompts(process.stdin, process.stderr, signal),
      clock: systemClock,
      env: process.env,
      cwd: process.cwd(),
      signal,
      flags,
      stdin: process.stdin,
    });
    code = await body(context);
  };
  const program = makeProgram(readVersion(), out.write, err.write, run);
  const screenFor = ({ json = false, quiet = false, verbose = false }: CommonFlags): Screen =>
    makeScreen({ out, err, clock: systemClock, json, quiet, verbose, colour: wantsColour(process.env) });
  try {
    applyEnvironment(program, process.env);
    await program.parseAsync(process.argv);
    return code;
  } catch (thrown) {
    if (thrown instanceof CommanderError && harmless.includes(thrown.code)) {
      return thrown.exitCode === 0 ? 0 : exitCodes.usage;
    }
    const failure = thrown instanceof CommanderError ? usageFailure(thrown) : Failure.from(thrown);
    const flags = program.opts<CommonFlags>();
    // Wrong usage may be found before `--json` is read.
    const screen = screenFor({ ...flags, json: flags.json === true || process.argv.includes('--json') });
    screen.failure(failure);
    if (failure.kind === 'failed') screen.detail(traceOf(failure));
    return exitCodes[failure.kind];
  }
}

/** What the parser throws when it has only shown something: help that was asked for, or help for a missing command. */
const harmless = ['commander.help', 'commander.helpDisplayed', 'commander.version'];

function usageFailure({ message }: CommanderError): Failure {
  const [what = '', near] = message.replace(/^error: /, '').split('\n');
  const hint = near?.replace(/^\((.*)\)$/, '$1') ?? 'See `anemone-peer --help`.';
  return new Failure('usage', what, { hint });
}

/** Aborts at the first Ctrl-C, so that a command can tidy up; the second one ends the process at once. */
function interruptSignal(): AbortSignal {
  const controller = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM'] as const) {
    process.on(name, () => {
      if (controller.signal.aborted) process.exit(exitCodes.interrupted);
      controller.abort();
    });
  }
  return controller.signal;
}

/** When the reader of a pipe has gone, what is left to say is dropped, and the command still does its work. */
function outputTo(stream: NodeJS.WriteStream): Output {
  let open = true;
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
    open = false;
  });
  return {
    terminal: stream.isTTY === true,
    columns: () => stream.columns || 80,
    write(text) {
      if (open) stream.write(text);
    },
  };
}

function wantsColour(env: NodeJS.ProcessEnv): boolean {
  return (env['NO_COLOR'] ?? '') === '' && env['TERM'] !== 'dumb';
}

function readVersion(): string {
  const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
    version: string;
  };
  return version;
}

function traceOf(failure: Failure): string {
  const { cause } = failure;
  return (cause instanceof Error ? cause.stack : failure.stack) ?? failure.message;
}

/** Waits until what was written has left. A pipe whose reader has gone takes nothing, which is an end too. */
function flushed(stream: NodeJS.WriteStream): Promise<void> {
  return new Promise((resolve) => stream.write('', () => resolve()));
}

const code = await main();
await Promise.all([flushed(process.stdout), flushed(process.stderr)]);
// A connection to a peer that never finished its handshake would keep the process alive.
process.exit(code);
