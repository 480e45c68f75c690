import { accessSync, constants, readFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { runToEnd } from '../../support/program.js';
import type { Sample } from '../contest.js';

/** The folder of the project; this file runs from `dist-bench/test/bench/machine/`. */
export const project = join(import.meta.dirname, '../../../..');
export const nodeProgram = join(project, 'dist/node/main.js');
export const clientProgram = join(project, 'dist/client/main.js');

/** How a program of this project is started: with the flags of Node that its first line asks for. */
export function startOf(program: string, flags: readonly string[] = []): string[] {
  const [, own = ''] = /^#!.* node(.*)\n/.exec(readFileSync(program, 'utf8')) ?? [];
  return [process.execPath, ...own.trim().split(/ +/).filter(Boolean), ...flags];
}

/** The path of a program, also where only root looks for it; null when it is not installed. */
export function findProgram(name: string): string | null {
  for (const folder of [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/sbin']) {
    try {
      accessSync(join(folder, name), constants.X_OK);
      return join(folder, name);
    } catch {
      // The next folder may have it.
    }
  }
  return null;
}

/** Which of these is not installed, as a reason to skip a row; null when all are there. */
export function missingPrograms(...packages: readonly (readonly [program: string, debian: string])[]): string | null {
  const missing = packages.filter(([program]) => findProgram(program) === null);
  return missing.length === 0 ? null : `not installed: ${missing.map(([, debian]) => debian).join(', ')} (Debian)`;
}

export interface RunOptions {
  readonly cwd?: string;
  readonly input?: string;
  /** Network namespace to run in. */
  readonly netns?: string | undefined;
}

/** A command line that runs in a network namespace, or as it is. */
export function inside(netns: string | undefined, command: readonly string[]): readonly [string, string[]] {
  const [program = '', ...args] = netns === undefined ? command : ['ip', 'netns', 'exec', netns, ...command];
  return [program, args];
}

/** Runs a program to its end and gives its standard output. @throws with what it wrote, when its exit code is not 0 */
export async function run(command: readonly string[], { cwd, input, netns }: RunOptions = {}): Promise<string> {
  const [program, args] = inside(netns, command);
  const { code, stdout, stderr } = await runToEnd(program, args, { cwd }, input);
  if (code === 0) return stdout;
  throw new Error(`${command.join(' ')} ended with ${code}:\n${stderr}${stdout}`);
}

/** Clock ticks of a second in /proc; the same on every Linux that Node runs on. */
const ticks = 100;

/** User and system seconds of a process and of its children that have ended; of this process, the children only. */
function cpuSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat
    .slice(stat.lastIndexOf(')') + 2)
    .split(' ')
    .map(Number);
  // Fields 14 to 17 of proc(5): utime, stime, cutime, cstime.
  const [user = 0, system = 0, childUser = 0, childSystem = 0] = fields.slice(11, 15);
  return (childUser + childSystem + (pid === process.pid ? 0 : user + system)) / ticks;
}

/** The most memory that a process has had resident, in MB. */
export function peakMegabytes(pid: number): number {
  const [, kilobytes = 'NaN'] = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
  return Number(kilobytes) / 1000;
}

/** Measures work in wall-clock time, and in processor time of these processes and of programs that it ran to their end. */
export async function timed(pids: readonly number[], work: () => Promise<unknown>): Promise<Sample> {
  const all = [process.pid, ...pids];
  const total = (): number => all.map(cpuSeconds).reduce((sum, seconds) => sum + seconds, 0);
  const cpuBefore = total();
  const before = performance.now();
  await work();
  return { seconds: (performance.now() - before) / 1000, cpuSeconds: total() - cpuBefore };
}
