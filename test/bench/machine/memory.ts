import { rm } from 'node:fs/promises';
import type { Contender } from '../contest.js';
import { writeRandom } from '../workers/plant.js';

/**
 * Has every contender start where files of the same size were just removed, and into none of its own. A virtual machine gives
 * free memory back to its host within seconds, and waits a second a GiB until it is given it again: whoever came after one
 * that left much memory free would be the faster for it.
 * @param targets files that contenders write
 * @param size of all of them together, in bytes
 */
export function alike(contenders: readonly Contender[], targets: readonly string[], size: number): Contender[] {
  const [scratch = ''] = targets;
  return contenders.map(({ name, run }) => ({
    name,
    async run(round) {
      for (const target of targets) await rm(target, { force: true });
      await writeRandom(scratch, size);
      await rm(scratch);
      return run(round);
    },
  }));
}
