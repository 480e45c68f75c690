import { join } from 'node:path';
import { planExchanges, type Unplaceable } from './exchanges.js';
import { configFor } from './rebuild.js';
import { stagingFolder, workFolder } from './staging.js';
import type { UnpackedEntry } from './unpack.js';

/**
 * What a restore into a folder has to leave out, so that the rest of it can be put into place.
 * @param place absolute; need not exist
 * @throws Failure `invalid` where nothing would be left, or the configuration would be missing; as planning does
 */
export async function unplaceableAt(
  place: string,
  what: {
    readonly entries: readonly UnpackedEntry[];
    readonly roots: readonly UnpackedEntry[];
    readonly stamp: string;
  },
): Promise<readonly Unplaceable[]> {
  const { entries, roots, stamp } = what;
  const staging = stagingFolder(await workFolder(place), stamp);
  const { unplaceable } = await planExchanges({ staging, target: place, entries, roots, stamp });
  const config = configFor(place, entries);
  const isConfig = ({ path }: Unplaceable): boolean => `${config}/`.startsWith(`${join(place, path)}/`);
  const reason = unplaceable.length === roots.length ? unplaceable[0] : unplaceable.find(isConfig);
  if (reason !== undefined) throw reason.why;
  return unplaceable;
}
