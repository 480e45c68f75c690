import { intoPlace } from '../../src/client/restore/place/into-place.js';
import { readGround, unitsOf } from '../../src/client/restore/place/units.js';
import type { UnpackedEntry } from '../../src/client/restore/unpack/unpack.js';

/** Puts all that was unpacked into its place, as it is without data of a node and with nothing chosen. */
export async function putIntoPlace(
  {
    target,
    entries,
    ...staged
  }: {
    readonly staging: string;
    readonly target: string;
    readonly entries: readonly UnpackedEntry[];
    readonly stamp: string;
  },
  signal = new AbortController().signal,
): ReturnType<typeof intoPlace> {
  const ground = await readGround(target, { data: [], selects: null });
  return intoPlace({ ...staged, ground, units: await unitsOf(entries, ground) }, signal);
}
