import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { systemClock } from '../../src/mesh/terms/clock.js';
import { garbageOverTls } from './garbage.js';
import type { Kind, Recorder } from './tally.js';

/** Milliseconds after which an input that is still being read is a hang. */
const patience = 20_000;
/** Bytes that the heap may grow by, whatever the number of inputs. */
const tolerated = 16 * 2 ** 20;

/**
 * Valid messages, files and words, changed at random, for everything that reads what others wrote; and bytes of a peer
 * with a right certificate that are no HTTP/2 at all.
 */
export const malformed: Kind = {
  name: 'malformed',
  title: 'malformed inputs',
  async run(recorder, scale) {
    await parse(recorder, scale === 'long' ? 1_000_000 : 20_000);
    await garbageOverTls(recorder, scale === 'long' ? 2_000 : 60);
  },
};

async function parse(recorder: Recorder, inputs: number): Promise<void> {
  const progress = new SharedArrayBuffer(4);
  const current = new Int32Array(progress);
  const root = join(import.meta.dirname, '../../..');
  const worker = new Worker(join(import.meta.dirname, 'malformed-worker.js'), {
    workerData: { seed: recorder.seed, inputs, root, progress },
  });
  let over = false;
  const ended = new Promise<void>((resolve) => {
    worker.on('message', ({ wrong, growth }: { wrong?: string; growth?: number }) => {
      if (wrong !== undefined) recorder.problem(wrong);
      if (growth === undefined) return;
      recorder.note = `the heap grew by ${(growth / 2 ** 20).toFixed(1)} MiB`;
      if (growth > tolerated) recorder.problem(recorder.note);
    });
    worker.on('error', (error) =>
      recorder.problem(`crash at input ${recorder.seed + Atomics.load(current, 0) - 1}: ${error}`),
    );
    worker.on('exit', () => {
      over = true;
      resolve();
    });
  });
  const watch = async (): Promise<void> => {
    for (let seen = -1; !over; ) {
      const now = Atomics.load(current, 0);
      if (now === seen) {
        recorder.problem(`input ${recorder.seed + now - 1} hangs`);
        await worker.terminate();
      }
      seen = now;
      await Promise.race([systemClock.sleep(patience), ended]);
    }
  };
  await Promise.all([ended, watch()]);
  recorder.fault(Atomics.load(current, 0));
}
