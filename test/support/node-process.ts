import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Events } from './events.js';

/** The built node. */
export const nodeProgram = join(import.meta.dirname, '../../dist/node/main.js');

/** Milliseconds in which a node starts, on a machine that is busy with other tests. */
const startPatience = 120_000;

/** `anemone-node` as a process of its own. */
export interface NodeProcess {
  readonly pid: number;
  /** Sends a signal and resolves with the exit code, or with the signal that killed it. */
  end(signal: NodeJS.Signals): Promise<number | NodeJS.Signals | null>;
  /** What it wrote beside its log: of a node that broke down, why. */
  wrote(): string;
}

/**
 * Starts a node and resolves when it serves. Its log lines go to `events`.
 * @throws when it ends instead, with what it wrote
 */
export async function startNodeProcess(
  config: string,
  events: Events,
  { env = {}, args = [] }: { readonly env?: NodeJS.ProcessEnv; readonly args?: readonly string[] } = {},
): Promise<NodeProcess> {
  const { PATH, HOME } = process.env;
  const child = spawn(process.execPath, [...args, nodeProgram, '--config', config], {
    env: { PATH, HOME, ...env },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const ended = once(child, 'close') as Promise<[number | null, NodeJS.Signals | null]>;
  const other: string[] = [];
  createInterface({ input: child.stderr }).on('line', (line) => {
    try {
      const { level, event, time: _, ...fields } = JSON.parse(line);
      events.record({ level, event, fields });
    } catch {
      other.push(line);
    }
  });
  const started = events.until('node started', undefined, startPatience).then(() => null);
  started.catch(() => {});
  const end = await Promise.race([started, ended]);
  if (end !== null) throw new Error(`the node ended with ${end[0] ?? end[1]} instead of serving:\n${other.join('\n')}`);
  return {
    pid: child.pid ?? 0,
    async end(signal) {
      child.kill(signal);
      const [code, killedBy] = await ended;
      return code ?? killedBy;
    },
    wrote: () => other.join('\n'),
  };
}
