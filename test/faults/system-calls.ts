import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { type MeshServer, withMesh } from '../support/mesh.js';
import { bytesOf, seeded } from './random.js';
import type { Kind } from './tally.js';
import { backUp, check, settled, type Told } from './two-nodes.js';

/**
 * The calls that a node makes about files, and the errors that each may give. `write` is not among them: the same threads
 * wake each other with it, and Node ends when that fails, which no disk can bring about.
 */
const errors: Readonly<Record<string, readonly string[]>> = {
  openat: ['EIO', 'ENOSPC', 'EDQUOT', 'EMFILE'],
  pwrite64: ['EIO', 'ENOSPC', 'EDQUOT'],
  pwritev: ['EIO', 'ENOSPC', 'EDQUOT'],
  fsync: ['EIO', 'ENOSPC', 'EDQUOT'],
  fdatasync: ['EIO', 'ENOSPC', 'EDQUOT'],
  link: ['EIO', 'ENOSPC', 'EDQUOT'],
  rename: ['EIO', 'ENOSPC', 'EDQUOT'],
  mkdir: ['EIO', 'ENOSPC', 'EDQUOT'],
  unlink: ['EIO'],
  statx: ['EIO'],
  statfs: ['EIO'],
  read: ['EIO'],
  pread64: ['EIO'],
  getdents64: ['EIO'],
};

/** More calls of one kind than a push makes. */
const mostCalls = 150;

/** Bytes of a backup, and the calls of each kind that its push makes at least. */
const small = { size: 100_000, calls: 4 };
const large = { size: 40_000_000, calls: 2 };

/**
 * A real node whose nth system call of a kind fails, for every kind and n that there is in a run and its push: once the
 * node that receives, once the one that pushes.
 */
export const systemCalls: Kind = {
  name: 'system-calls',
  title: 'every system call of a node',
  missing: () => (process.getuid?.() === 0 ? null : 'only root may watch a process with strace'),
  async run(recorder, scale) {
    if (spawnSync('strace', ['-V']).error !== undefined) throw new Error('this needs strace: apt install strace');
    const random = seeded(recorder.seed);
    await withMesh(['FR1', 'FR2'], async ([fr1, fr2], mesh) => {
      await fr1.edit((text) => text.replace('keep_last: 7', 'keep_last: 100000'));
      // With one thread that makes the calls about files, the nth call is the same one in every run.
      const preload = join(mesh.root, 'one-thread.cjs');
      await writeFile(preload, "process.env.UV_THREADPOOL_SIZE = '1';\n");
      const start = (server: MeshServer) => server.start({ args: ['--require', preload] });
      await Promise.all([start(fr1), start(fr2)]);
      const told: Told = { acknowledged: new Set(), checked: new Set() };
      for (const victim of [fr2, fr1]) {
        for (const [call, each] of Object.entries(errors)) {
          // Only what is large is synced while it arrives.
          const { size, calls } = call === 'fdatasync' ? large : small;
          for (const error of scale === 'long' ? each : [random.pick(each)]) {
            const [first, last] = scale === 'long' ? [1, mostCalls] : Array(2).fill(1 + random.below(calls));
            for (let nth = first; nth <= last; nth += 1) {
              await writeFile(join(fr1.folder, 'config/some.bin'), bytesOf(`${call} ${error} ${nth}`, size));
              const failing = await attach(victim, call, error, nth, join(mesh.root, 'strace.out'));
              const report = await backUp(fr1);
              for (const name of report?.peers.flatMap(({ delivered }) => delivered) ?? []) told.acknowledged.add(name);
              if (!(await failing.detach())) break;
              recorder.fault();
              if (!isAlive(victim.pid)) {
                recorder.problem(`${victim.name} ended: ${error} at ${call} ${nth}`);
                await victim.kill();
                await start(victim);
              }
              await check(fr1, fr2, told, recorder, true);
            }
          }
        }
        await victim.stop();
        await start(victim);
      }
      await settled(fr1, fr2, told, recorder);
      recorder.acknowledged(told.acknowledged.size);
    });
  },
};

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** Lets the nth call fail in the threads that make the calls about files; the first thread has the network. */
async function attach(victim: MeshServer, call: string, error: string, nth: number, output: string) {
  const threads = (await readdir(`/proc/${victim.pid}/task`)).filter((thread) => thread !== String(victim.pid));
  const inject = `inject=${call}:error=${error}:when=${nth}`;
  const args = ['-o', output, '-e', `trace=${call}`, '-e', inject, ...threads.flatMap((thread) => ['-p', thread])];
  const tracer = spawn('strace', args, { stdio: ['ignore', 'ignore', 'pipe'] });
  const ended = once(tracer, 'close');
  let attached = 0;
  await new Promise<void>((resolve, reject) => {
    createInterface({ input: tracer.stderr }).on('line', (line) => {
      if (/ attached/.test(line)) attached += 1;
      if (attached === threads.length) resolve();
    });
    tracer.once('close', () => reject(new Error('strace cannot watch the node')));
  });
  return {
    /** @returns whether the call was made, and failed */
    async detach(): Promise<boolean> {
      tracer.kill('SIGINT');
      await ended;
      return (await readFile(output, 'utf8')).includes('INJECTED');
    },
  };
}
