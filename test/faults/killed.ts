import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { systemClock } from '../../src/mesh/terms/clock.js';
import { type MeshServer, withMesh } from '../support/mesh.js';
import { clientProgram } from '../support/program.js';
import { bytesOf, type Random, seeded } from './random.js';
import type { Kind, Recorder } from './tally.js';
import { backUp, check, settled, type Told } from './two-nodes.js';

/** Kills in one mesh, before a new one is made. */
const atOnce = 50;

/** kill -9 at random moments of a push: the node that receives, the node that pushes, or the client that asked for it. */
export const killed: Kind = {
  name: 'killed',
  title: 'kill -9 during a push',
  async run(recorder, scale) {
    const random = seeded(recorder.seed);
    const kills = scale === 'long' ? 1_000 : 16;
    while (recorder.faults < kills) await oneMesh(random, recorder, Math.min(atOnce, kills - recorder.faults));
  },
};

function oneMesh(random: Random, recorder: Recorder, kills: number): Promise<void> {
  return withMesh(['FR1', 'FR2'], async ([fr1, fr2]) => {
    await fr1.edit((text) => text.replace('keep_last: 7', 'keep_last: 100000'));
    const told: Told = { acknowledged: new Set(), checked: new Set() };
    await Promise.all([fr1.start(), fr2.start()]);
    const first = performance.now();
    await backUp(fr1);
    let usual = performance.now() - first;
    for (let kill = 0; kill < kills; kill += 1) {
      await writeFile(join(fr1.folder, 'config/large.bin'), bytesOf(`${kill}`, 20_000 + random.below(2_000_000)));
      const begun = performance.now();
      const victim = random.pick(['receiver', 'pusher', 'client'] as const);
      const unharmed = await suffer(victim, fr1, fr2, random.next() * 1.2 * usual, told);
      if (unharmed) usual = usual * 0.7 + (performance.now() - begun) * 0.3;
      recorder.fault();
      await check(fr1, fr2, told, recorder);
    }
    await settled(fr1, fr2, told, recorder);
    recorder.acknowledged(told.acknowledged.size);
  });
}

/** Kills one program after so many milliseconds of a run, and starts it again. */
async function suffer(
  victim: 'receiver' | 'pusher' | 'client',
  fr1: MeshServer,
  fr2: MeshServer,
  after: number,
  told: Told,
): Promise<boolean> {
  if (victim === 'client') {
    const { PATH, HOME } = process.env;
    const client = spawn(process.execPath, [clientProgram, 'backup', '--force'], {
      cwd: fr1.folder,
      env: { PATH, HOME },
      stdio: 'ignore',
    });
    const ended = once(client, 'close');
    // A process takes about this long to begin its work.
    await systemClock.sleep(200 + after);
    client.kill('SIGKILL');
    await ended;
    return false;
  }
  const run = backUp(fr1);
  let over = false;
  void run.then(() => {
    over = true;
  });
  await systemClock.sleep(after);
  const unharmed = over;
  const node = victim === 'receiver' ? fr2 : fr1;
  await node.kill();
  const report = await run;
  for (const name of report?.peers.flatMap(({ delivered }) => delivered) ?? []) told.acknowledged.add(name);
  await node.start();
  return unharmed;
}
