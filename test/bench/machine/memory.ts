import { readFileSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import type { Contender } from '../contest.js';
import { writeRandom } from '../workers/plant.js';

/** The size of free memory, as a power of two of pages, from which on Linux tells the host of a virtual machine of it. */
const reportedOrder = '/sys/module/page_reporting/parameters/page_reporting_order';
/** No memory that Linux hands out is as large. */
const never = '11';

/**
 * Has a virtual machine keep the memory that is free, where it can be told to: what it gives back to its host, it waits for once
 * more, two seconds a GiB of a file that is written, which whoever takes longer pays more often.
 * @returns lets it give memory back again
 */
export function keepFreeMemory(): () => void {
  try {
    const before = readFileSync(reportedOrder, 'utf8');
    writeFileSync(reportedOrder, never);
    return () => writeFileSync(reportedOrder, before);
  } catch {
    // No virtual machine of this kind, or nobody who may tell it.
    return () => {};
  }
}

/**
 * Has every contender start where files of the same size were just removed, and into none of its own. A virtual machine gives
 * free memory back to its host within seconds, unless {@link keepFreeMemory} keeps it from that: whoever came after one that left
 * much memory free would be the faster for it.
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
