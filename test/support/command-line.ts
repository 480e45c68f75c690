import { PassThrough } from 'node:stream';
import { runCommandLine } from '../../src/client/command-line.js';
import { makePrompts } from '../../src/client/session/prompts.js';
import { systemClock } from '../../src/mesh/terms/clock.js';
import { keptOutput } from './kept-output.js';
import type { ProgramEnd, ProgramOptions } from './program.js';

/** Runs a command line inside the test, as {@link anemonePeer} does as a process: pipes, and nobody to ask. Before what it says has left, it waits. */
export async function commandLine(
  args: readonly string[],
  { cwd, env = {}, input = '', beforeShown = async () => {} }: ProgramOptions & { beforeShown?(): Promise<void> },
): Promise<ProgramEnd> {
  const { said, out, err } = keptOutput({ flushed: async () => beforeShown().then(() => null) });
  const { signal } = new AbortController();
  const stdin = new PassThrough();
  stdin.end(input);
  const streams = {
    stdin: stdin as unknown as NodeJS.ReadStream,
    tty: new PassThrough() as unknown as NodeJS.WriteStream,
  };
  const code = await runCommandLine(args, {
    out,
    err,
    prompts: makePrompts(streams.stdin, streams.tty, signal),
    clock: systemClock,
    env,
    cwd,
    signal,
    stdin: streams.stdin,
    version: '1.2.3',
  });
  return { code, ...said };
}
