import { type SpawnOptionsWithoutStdio, spawn } from 'node:child_process';
import { join } from 'node:path';
import { nodeProgram } from './node-process.js';

/** The built client. */
export const clientProgram = join(import.meta.dirname, '../../dist/client/main.js');

export interface ProgramEnd {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface ProgramOptions {
  readonly cwd: string;
  /** Beside PATH and HOME nothing else is set. */
  readonly env?: NodeJS.ProcessEnv;
  readonly input?: string;
  /** Number of the user who runs it, and of their group; whoever runs the test unless given. */
  readonly user?: number;
}

/** Runs `anemone-peer` as a process of its own, with pipes for its standard streams. */
export function anemonePeer(args: readonly string[], options: ProgramOptions): Promise<ProgramEnd> {
  return run([clientProgram, ...args], options);
}

/** Runs `anemone-node` in the same way, with arguments that let it end by itself. */
export function anemoneNode(args: readonly string[], options: ProgramOptions): Promise<ProgramEnd> {
  return run([nodeProgram, ...args], options);
}

function run(args: readonly string[], { cwd, env = {}, input, user }: ProgramOptions): Promise<ProgramEnd> {
  const { PATH, HOME } = process.env;
  const identity = user === undefined ? {} : { uid: user, gid: user };
  return runToEnd(process.execPath, args, { cwd, env: { PATH, HOME, ...env }, ...identity }, input);
}

/** Runs any program in the same way. */
export function runToEnd(
  program: string,
  args: readonly string[],
  options: SpawnOptionsWithoutStdio,
  input = '',
): Promise<ProgramEnd> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, options);
    const output = { stdout: '', stderr: '' };
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      output.stdout += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      output.stderr += text;
    });
    child.once('error', reject);
    child.once('close', (code) => resolve({ code, ...output }));
    child.stdin.on('error', () => {});
    child.stdin.end(input);
  });
}
