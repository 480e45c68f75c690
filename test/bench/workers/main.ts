import { diskTasks } from './bare-disk.js';
import { bareTasks } from './bare-tls.js';
import { memoryTasks } from './memory-peers.js';
import { sealingTasks } from './sealing.js';
import { senderTasks } from './sender.js';
import type { Answer, Question } from './worker.js';

const tasks = { ...bareTasks, ...diskTasks, ...memoryTasks, ...sealingTasks, ...senderTasks };

/** What a worker can be asked to do. */
export type Tasks = typeof tasks;

process.on('message', ({ id, task, argument }: Question) => {
  const work = tasks[task] as (argument: unknown) => Promise<unknown>;
  work(argument).then(
    (result) => process.send?.({ id, result } satisfies Answer),
    (thrown: Error) => process.send?.({ id, failure: thrown.stack ?? thrown.message } satisfies Answer),
  );
});
process.on('disconnect', () => process.exit(0));
