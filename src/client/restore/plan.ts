import { join } from 'node:path';
import type { Context } from '../session/context.js';
import { configAfter, type NotInPlace, notInPlace } from './configured-paths.js';
import type { BringBackOptions } from './options.js';
import { type Comparison, compareTrees } from './place/compare.js';
import { type Placement, planExchanges, type Unplaceable } from './place/exchanges.js';
import { selectedRoots } from './place/selection.js';
import { configFor } from './rebuild.js';
import type { SealedFile } from './sealed-file.js';
import { isInSome, rootsOf, withFoldersAbove } from './unpack/folders-above.js';
import { stagingFolder, workFolder } from './unpack/staging.js';
import type { UnpackedEntry } from './unpack/unpack.js';

/** What a restore would do, as things are. The configuration is asked only where the whole backup is brought. */
export interface Planned extends NotInPlace {
  readonly comparison: Comparison;
  /** What cannot be put into the target, and is left out. */
  readonly unplaceable: readonly Unplaceable[];
}

/**
 * Compares what was unpacked with what is there, without touching anything: what is exchanged, and what stays undone.
 * @throws Failure `invalid` where nothing could be put into place, or not the configuration; as {@link planExchanges} does
 */
export async function planRestore(
  context: Context,
  { manifest }: SealedFile,
  entries: readonly UnpackedEntry[],
  { staging, stamp }: Pick<Placement, 'staging' | 'stamp'>,
  { target, place = target, selection, ownership }: BringBackOptions,
): Promise<Planned & Pick<Required<Placement>, 'roots' | 'differs'>> {
  const whole = selection === null ? rootsOf(entries) : await selectedRoots(entries, target, selection);
  const isWanted = isInSome(whole);
  const wanted = entries.filter(({ path }) => isWanted(path));
  const comparison = await compareTrees(wanted, target, whole, { signal: context.signal });
  // Owners are not compared: where they are restored, all is exchanged.
  const differs = ownership ? () => true : differing(comparison);
  const exchanged = whole.filter(({ path }) => differs(path));
  const there = { target: place, staging: stagingFolder(await workFolder(place), stamp) };
  const after = await configAfter(context, { entries, staging, target: place });
  // A trial stands for a bare machine, which has no data yet.
  const spared = place === target ? after?.server.data : undefined;
  const { unplaceable } = await planExchanges({ ...there, entries, roots: exchanged, stamp, differs, spared });
  const config = configFor(context, place, entries);
  const isConfig = ({ path }: Unplaceable): boolean => `${config}/`.startsWith(`${join(place, path)}/`);
  const fatal = unplaceable.length === whole.length ? unplaceable[0] : unplaceable.find(isConfig);
  if (fatal !== undefined) throw fatal.why;
  const isLeftOut = isInSome(unplaceable);
  const { set, owner } = manifest?.facts ?? {};
  const undone =
    selection === null && after !== null
      ? notInPlace(after, { entries, isLeftOut, target: place, set, owner })
      : { elsewhere: [], absent: [] };
  const roots = exchanged.filter(({ path }) => !isLeftOut(path));
  return { comparison: without(comparison, isLeftOut), unplaceable, roots, differs, ...undone };
}

function without({ added, changed, same, dropped }: Comparison, isLeftOut: (path: string) => boolean): Comparison {
  const stays = (path: string): boolean => !isLeftOut(path);
  return {
    added: added.filter(stays),
    changed: changed.filter(stays),
    same: same.filter(stays),
    dropped: dropped.filter(stays),
  };
}

/** Whether a path is, or has in it, anything but what is there already. */
function differing({ added, changed, dropped }: Comparison): (path: string) => boolean {
  const differs = withFoldersAbove([...added, ...changed, ...dropped]);
  return (path) => differs.has(path);
}
