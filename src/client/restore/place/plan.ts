import { existsSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import type { VerifiedManifest } from '../../../mesh/manifest/manifest.js';
import type { Context } from '../../session/context.js';
import { type ConfigAfter, configAfter, dataFolders } from '../configuration/config-after.js';
import { type NotInPlace, notInPlace } from '../configuration/configured-paths.js';
import { foldersAbove, isInSome, withFoldersAbove } from '../unpack/folders-above.js';
import { stagingFolder, workFolder } from '../unpack/staging.js';
import type { UnpackedEntry } from '../unpack/unpack.js';
import { type Comparison, compareTrees } from './compare.js';
import { type Placement, planExchanges, type Unplaceable } from './exchanges.js';
import type { Selection } from './selection.js';
import { type Ground, readGround, unitsOf } from './units.js';

/** What is restored where. */
export interface PlanOptions {
  /** Absolute; exists, unless this is a dry run. */
  readonly target: string;
  /** Where it would go, for a trial in a folder of its own; the target unless given. */
  readonly place?: string;
  /** Which parts; null for all of it. */
  readonly selection: Selection;
  readonly ownership: boolean;
}

/** What a restore would do, as things are. The configuration is asked only where the whole backup is brought. */
export interface Planned extends NotInPlace {
  readonly after: ConfigAfter;
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
  { manifest }: { readonly manifest: VerifiedManifest | null },
  entries: readonly UnpackedEntry[],
  { staging, stamp }: Pick<Placement, 'staging' | 'stamp'>,
  options: PlanOptions,
): Promise<Planned & Pick<Placement, 'ground' | 'units'>> {
  const { target, place = target, selection } = options;
  const unpacked = { entries, staging, target: place };
  const data = await dataFolders(context, unpacked);
  const { ground, all, comparison } = await compareAround(data, entries, options, context.signal);
  const differs = differing(comparison);
  const units = all.filter(({ path }) => differs(path));
  const there = stagingFolder(await workFolder(place), stamp);
  const { unplaceable } = await planExchanges({ ground, staging: there, units, stamp });
  const leftOut = gathered(unplaceable, all, entries, selection);
  const isLeftOut = isInSome(leftOut);
  const done = without(comparison, isLeftOut);
  const after = await configAfter(context, unpacked, isInSome(units.filter(({ path }) => !isLeftOut(path))));
  const isConfig = ({ path }: Unplaceable): boolean => `${after.file}/`.startsWith(`${join(place, path)}/`);
  const fatal = all.every(({ path }) => isLeftOut(path)) ? unplaceable[0] : unplaceable.find(isConfig);
  if (fatal !== undefined) throw fatal.why;
  const { set, owner } = manifest?.facts ?? {};
  const undone =
    selection === null && after.config !== null
      ? notInPlace(after.config, { entries, isLeftOut, target: place, set, owner })
      : { elsewhere: [], absent: [] };
  return {
    after,
    comparison: done,
    unplaceable: leftOut,
    ground,
    units: units.filter(({ path }) => !isLeftOut(path)),
    ...undone,
  };
}

/** Compares around the data of nodes: also around what only its node key tells, where no configuration can be read. */
async function compareAround(
  data: readonly string[],
  entries: readonly UnpackedEntry[],
  options: PlanOptions,
  signal: AbortSignal,
): Promise<{ readonly ground: Ground; readonly all: readonly UnpackedEntry[]; readonly comparison: Comparison }> {
  const { target, place = target, selection, ownership } = options;
  const ground = await readGround(place, { data, selects: selection });
  const all = await unitsOf(entries, ground);
  const comparison = await compareTrees(entries, all, { target, ownership, signal });
  const untold = comparison.dropped
    .map((path) => join(place, path))
    .map((path) => (basename(path) === '.state' ? dirname(path) : path))
    .filter((folder) => !data.includes(folder) && existsSync(join(folder, '.state/node.key')));
  if (untold.length === 0) return { ground, all, comparison };
  return compareAround([...data, ...untold], entries, options, signal);
}

/** A folder that is taken apart stands for all in it, where nothing of that can be put into place, and all was selected. */
function gathered(
  unplaceable: readonly Unplaceable[],
  units: readonly UnpackedEntry[],
  entries: readonly UnpackedEntry[],
  selects: Selection,
): readonly Unplaceable[] {
  const isLeftOut = isInSome(unplaceable);
  const withOthers = withFoldersAbove(units.map(({ path }) => path).filter((path) => !isLeftOut(path)));
  const known = new Set(entries.map(({ path }) => path).filter((path) => selects === null || selects(path, true)));
  const found = new Map<string, Unplaceable>();
  for (const { path, why } of unplaceable) {
    const name = foldersAbove(path).findLast((folder) => known.has(folder) && !withOthers.has(folder)) ?? path;
    if (!found.has(name)) found.set(name, { path: name, why });
  }
  return [...found.values()];
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
