#!/usr/bin/env -S node --single-threaded-gc
import '../mesh/terms/spare-memory.js';
import { readFileSync } from 'node:fs';
import { systemClock } from '../mesh/terms/clock.js';
import { exitCodes, runCommandLine } from './command-line.js';
import { makePrompts } from './prompts.js';
import type { Output } from './render/output.js';

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

function readVersion(): string {
  const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
    version: string;
  };
  return version;
}

/** Waits until what was written has left. A pipe whose reader has gone takes nothing, which is an end too. */
function flushed(stream: NodeJS.WriteStream): Promise<void> {
  return new Promise((resolve) => stream.write('', () => resolve()));
}

const signal = interruptSignal();
const code = await runCommandLine(process.argv.slice(2), {
  out: outputTo(process.stdout),
  err: outputTo(process.stderr),
  prompts: makePrompts(process.stdin, process.stderr, signal),
  clock: systemClock,
  env: process.env,
  cwd: process.cwd(),
  signal,
  stdin: process.stdin,
  version: readVersion(),
});
await Promise.all([flushed(process.stdout), flushed(process.stderr)]);
// A connection to a peer that never finished its handshake would keep the process alive.
process.exit(code);
