import { join } from 'node:path';
import { type Placement, planExchanges, type Unplaceable } from './place/exchanges.js';
import { configFor } from './rebuild.js';
import { stagingFolder, workFolder } from './unpack/staging.js';
import type { UnpackedEntry } from './unpack/unpack.js';

/**
 * What a restore into a folder has to leave out, so that the rest of it can be put into place.
 * @param place absolute; need not exist
 * @param what.whole all roots; of these, `roots` are those that are not the same there already
 * @throws Failure `invalid` where nothing would be left, or the configuration would be missing; as planning does
 */
export async function unplaceableAt(
  place: string,
  what: Omit<Placement, 'target' | 'staging'> & { readonly whole: readonly UnpackedEntry[] },
): Promise<readonly Unplaceable[]> {
  const { whole, ...placement } = what;
  const staging = stagingFolder(await workFolder(place), placement.stamp);
  const { unplaceable } = await planExchanges({ ...placement, staging, target: place });
  const config = configFor(place, placement.entries);
  const isConfig = ({ path }: Unplaceable): boolean => `${config}/`.startsWith(`${join(place, path)}/`);
  const reason = unplaceable.length === whole.length ? unplaceable[0] : unplaceable.find(isConfig);
  if (reason !== undefined) throw reason.why;
  return unplaceable;
}
