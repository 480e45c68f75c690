import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { inside, nodeProgram, startOf } from '../machine/processes.js';
import type { Bench } from '../row.js';
import type { Tasks } from './main.js';

/** A process of its own that does tasks, so that each side of a transfer has its own memory and its own processor time. */
export interface Worker {
  readonly pid: number;
  do<K extends keyof Tasks>(task: K, argument: Parameters<Tasks[K]>[0]): Promise<Awaited<ReturnType<Tasks[K]>>>;
}

/** Starts a worker; it ends with the family. */
export function startWorker(bench: Bench, netns?: string): Worker {
  const start = startOf(nodeProgram, bench.nodeFlags);
  const [program, args] = inside(netns, [...start, join(import.meta.dirname, 'main.js')]);
  const child = spawn(program, args, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  const waiting = new Map<number, (answer: Answer) => void>();
  let last = 0;
  child.on('message', (answer: Answer) => {
    waiting.get(answer.id)?.(answer);
    waiting.delete(answer.id);
  });
  child.once('exit', () => {
    for (const [id, settle] of waiting) settle({ id, failure: 'the worker ended' });
  });
  bench.defer(async () => {
    if (!child.connected) return;
    child.disconnect();
    await once(child, 'exit');
  });
  return {
    pid: child.pid ?? 0,
    do(task, argument) {
      last += 1;
      const id = last;
      return new Promise((resolve, reject) => {
        waiting.set(id, ({ failure, result }) => {
          if (failure === undefined) resolve(result as never);
          else reject(new Error(`${task}: ${failure}`));
        });
        child.send({ id, task, argument });
      });
    },
  };
}

export interface Question {
  readonly id: number;
  readonly task: keyof Tasks;
  readonly argument: unknown;
}

export interface Answer {
  readonly id: number;
  readonly result?: unknown;
  readonly failure?: string;
}
