#!/usr/bin/env -S node --single-threaded-gc --disable-warning=ExperimentalWarning
// Above: that X25519 is experimental in an older Node.js is nothing to read on the worst day.
import '../mesh/terms/spare-memory.js';
import { readFileSync } from 'node:fs';
import { systemClock } from '../mesh/terms/clock.js';
import { exitCodes } from '../mesh/terms/exit-code.js';
import { runCommandLine } from './command-line.js';
import type { Output } from './render/output.js';
import { makePrompts } from './session/prompts.js';

let hasHungUp = false;

/**
 * Aborts at the first Ctrl-C, so that a command can tidy up; the second one ends the process at once. A terminal that goes
 * away may tell so several times, without anybody who wants that.
 */
function interruptSignal(): AbortSignal {
  const controller = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM'] as const) {
    process.on(name, () => {
      if (controller.signal.aborted) process.exit(exitCodes.interrupted);
      controller.abort();
    });
  }
  const hangUp = (): void => {
    hasHungUp = true;
    controller.abort();
  };
  process.on('SIGHUP', hangUp);
  const { stdin } = process;
  stdin.on('end', () => {
    if (!stdin.isRaw) return;
    // A question waited, and hears of it first. Its readline wants the old mode back, and dies when there is no terminal.
    stdin.setRawMode = () => stdin;
    hangUp();
  });
  return controller.signal;
}

/** When a stream takes nothing any more, what is left to say is dropped, and the command still does its work. */
function outputTo(stream: NodeJS.WriteStream): Output {
  let lost: NodeJS.ErrnoException | null = null;
  stream.on('error', (error) => {
    lost ??= error;
  });
  return {
    terminal: stream.isTTY === true,
    columns: () => stream.columns || 80,
    write(text) {
      if (lost === null) stream.write(text);
    },
    // What is written after a failure fails too, and a stream tells that before it tells the failure itself.
    flushed: () => new Promise((resolve) => stream.write('', (error) => resolve(lost ?? error ?? null))),
  };
}

function readVersion(): string {
  const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
    version: string;
  };
  return version;
}

/** Node.js ends with this code, without a word, when nothing is left that the command could wait for. */
const unsettled = 13;

/** To a person that code would mean that something was refused. */
function tellUnsettled(): void {
  if (process.exitCode !== unsettled) return;
  err.write('error: the command stopped before it had come to an end, by a mistake of this program; run it again\n');
  process.exitCode = exitCodes.failed;
}

const signal = interruptSignal();
const out = outputTo(process.stdout);
const err = outputTo(process.stderr);
process.on('exit', tellUnsettled);
let code = await runCommandLine(process.argv.slice(2), {
  out,
  err,
  prompts: makePrompts(process.stdin, process.stderr, signal),
  clock: systemClock,
  env: process.env,
  cwd: process.cwd(),
  signal,
  stdin: process.stdin,
  version: readVersion(),
});
const lost = [await out.flushed(), await err.flushed()].find((error) => error !== null && error.code !== 'EPIPE');
if (lost && (code === 0 || code === 3)) {
  err.write(`error: not all that this command had to say could be written: ${lost.message}\n`);
  await err.flushed();
  code = exitCodes.failed;
}
process.off('exit', tellUnsettled);
if (hasHungUp && [process.stdin, process.stdout, process.stderr].some(({ isTTY }) => isTTY)) {
  // Node.js breaks down at an exit without its terminal, and may leave a core that holds keys. By the signal it just ends.
  process.removeAllListeners('SIGHUP');
  process.kill(process.pid, 'SIGHUP');
} else {
  // A connection to a peer that never finished its handshake would keep the process alive.
  process.exit(code);
}
