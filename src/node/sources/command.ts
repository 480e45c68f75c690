import { type ChildProcessByStdio, spawn } from 'node:child_process';
import type { Readable } from 'node:stream';
import type { SourceConfig } from '../../mesh/config/config.js';
import type { Clock } from '../../mesh/terms/clock.js';
import { Failure } from '../../mesh/terms/failure.js';
import type { Source, SourceContext } from './source.js';

type CommandConfig = Extract<SourceConfig, { kind: 'command' }>;
type Child = ChildProcessByStdio<null, Readable, Readable>;
type End = { readonly code: number | null; readonly signal: NodeJS.Signals | null } | { readonly error: Error };

/** How long a command may take to end after SIGTERM, in milliseconds, before it gets SIGKILL. */
const grace = 5000;
/** How long standard error is waited for once all else has ended, in milliseconds: what the command started may hold it. */
const lastWords = 1000;
/** How much of the end of standard error is kept for the message, in characters and in lines. */
const keptCharacters = 4096;
const keptLines = 5;

/**
 * What a command writes to standard output. Its exit code decides whether that was a backup. There is no shell, and the
 * whole process group is ended with it.
 */
export function commandSource(config: CommandConfig, base: string): Source {
  return { read: (context) => run(config, base, context) };
}

async function* run(config: CommandConfig, base: string, context: SourceContext): AsyncGenerator<Uint8Array> {
  const [program, ...args] = config.command;
  if (context.signal.aborted) throw interrupted(program);
  const child = spawn(program, args, { cwd: base, detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
  const exited = exitOf(child);
  const ended = endOf(child);
  // Whatever its type says: where no more files can be opened, there are no pipes, and only the error comes.
  if (child.stdout === undefined) judge(program, await ended, '', true);
  const complaint = lastLines(child.stderr);
  let stopped: Failure | null = null;
  const terminate = terminator(child, context.clock);
  const stop = (why: Failure): void => {
    stopped ??= why;
    terminate.now();
  };
  const abort = (): void => stop(interrupted(program));
  context.signal.addEventListener('abort', abort, { once: true });
  const cancelTimeout = context.clock.after(config.timeout * 1000, () => {
    const message = `command ${program}: still running after ${config.timeout} s, and was stopped`;
    stop(new Failure('timeout', message, { retryable: false }));
  });
  try {
    let empty = true;
    for await (const chunk of child.stdout) {
      empty = false;
      yield chunk;
    }
    await exited;
    cancelTimeout();
    const cancelWait = context.clock.after(lastWords, () => child.stderr.destroy());
    const end = await ended;
    cancelWait();
    if (stopped !== null) throw stopped;
    judge(program, end, complaint(), empty);
  } catch (error) {
    throw stopped ?? Failure.from(error, `command ${program}`);
  } finally {
    terminate.now();
    await ended;
    terminate.cancel();
    cancelTimeout();
    context.signal.removeEventListener('abort', abort);
  }
}

/** @throws Failure unless the command ended well and wrote something */
function judge(program: string, end: End, complaint: string, empty: boolean): void {
  if ('error' in end) {
    const isWrong = ['ENOENT', 'EACCES', 'ENOTDIR'].includes((end.error as NodeJS.ErrnoException).code ?? '');
    throw new Failure(isWrong ? 'config' : 'failed', `command ${program}: cannot be started: ${end.error.message}`, {
      cause: end.error,
    });
  }
  const said = complaint === '' ? '' : `: ${complaint}`;
  const how = end.signal === null ? `exit code ${end.code}` : `was killed by ${end.signal}`;
  // What it asks may be restarting just now: only the command could tell.
  if (end.code !== 0) throw new Failure('failed', `command ${program}: ${how}${said}`, { retryable: true });
  if (empty) throw new Failure('failed', `command ${program}: wrote nothing, although its exit code is 0${said}`);
}

function exitOf(child: Child): Promise<void> {
  return new Promise((resolve) => {
    child.once('error', () => resolve());
    child.once('exit', () => resolve());
  });
}

/** Not before nobody holds its output any more. */
function endOf(child: Child): Promise<End> {
  return new Promise((resolve) => {
    child.once('error', (error) => resolve({ error }));
    child.once('close', (code, signal) => resolve({ code, signal }));
  });
}

/** Ends the process group: SIGTERM, and SIGKILL when that was not enough. After that nobody waits for the pipes. */
function terminator(child: Child, clock: Clock): { now(): void; cancel(): void } {
  let cancelKill: (() => void) | null = null;
  let hasGroup = false;
  let closed = false;
  child.once('close', () => {
    closed = true;
  });
  return {
    now() {
      if (closed || cancelKill !== null) return;
      hasGroup = signalGroup(child, 'SIGTERM');
      cancelKill = clock.after(grace, () => {
        if (hasGroup) signalGroup(child, 'SIGKILL');
        // A grandchild that left the group may still hold the pipes, also where all of the group has ended.
        child.stdout.destroy();
        child.stderr.destroy();
      });
    },
    cancel() {
      cancelKill?.();
      // The command itself has ended by now: what is left of its group ignored SIGTERM.
      if (hasGroup) signalGroup(child, 'SIGKILL');
    },
  };
}

function signalGroup(child: Child, signal: NodeJS.Signals): boolean {
  if (child.pid === undefined) return false;
  try {
    return process.kill(-child.pid, signal);
  } catch {
    // No such group: all of it has ended.
    return false;
  }
}

/** Reads standard error all the time, so that the command never waits for it, and keeps its end on one line. */
function lastLines(stderr: Readable): () => string {
  let text = '';
  stderr.setEncoding('utf8');
  stderr.on('data', (more: string) => {
    text = (text + more).slice(-keptCharacters);
  });
  stderr.on('error', () => {});
  return () => {
    const lines = text.split(/[\r\n]+/).map((line) => line.replaceAll(/\p{Cc}/gu, '').trim());
    return lines
      .filter((line) => line !== '')
      .slice(-keptLines)
      .join('; ');
  };
}

function interrupted(program: string): Failure {
  return new Failure('interrupted', `command ${program}: interrupted`);
}
