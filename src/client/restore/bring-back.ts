import { lstat, realpath } from 'node:fs/promises';
import { join, relative } from 'node:path';
import type { OpenedEnvelope } from '../../mesh/envelope/envelope.js';
import { peek } from '../../mesh/envelope/peek.js';
import { formatByteSize } from '../../mesh/terms/byte-size.js';
import { Failure } from '../../mesh/terms/failure.js';
import type { Context } from '../context.js';
import { type NotInPlace, notInPlace } from './configured-paths.js';
import type { Keys } from './keys.js';
import { type Comparison, compareTrees } from './place/compare.js';
import type { Unplaceable } from './place/exchanges.js';
import { intoPlace, type Switched } from './place/into-place.js';
import { type Selection, selectedRoots } from './place/selection.js';
import { formatOf, openSealed, type SealedFile } from './sealed-file.js';
import { foldersAbove, isInSome, rootsOf } from './unpack/folders-above.js';
import { applyPredecessorLayout, hasPredecessorLayout } from './unpack/predecessor-layout.js';
import { archiveHead, beginsArchive, nameOfContent, writeSingle } from './unpack/single-file.js';
import { removeStaging, restoreStamp, stagingFolder } from './unpack/staging.js';
import { type UnpackedEntry, type UnpackLimits, type UnpackSummary, unpack } from './unpack/unpack.js';
import { unplaceableAt } from './unplaceable.js';

export interface BringBackOptions {
  readonly keys: Keys;
  /** Absolute; exists, unless this is a dry run. */
  readonly target: string;
  /** Where it is prepared. */
  readonly work: string;
  /** Where it would go, for a trial in a folder of its own; the target unless given. */
  readonly place?: string;
  readonly dryRun: boolean;
  /** Do not ask. */
  readonly yes: boolean;
  /** Which parts; null for all of it. */
  readonly selection: Selection;
  /** What is asked before anything is changed. */
  question(entries: readonly UnpackedEntry[]): string;
  readonly ownership: boolean;
  readonly limits: Partial<UnpackLimits>;
}

/** What stays undone of the configuration is told only where the whole backup is brought. */
export interface BroughtBack extends NotInPlace {
  readonly format: string;
  readonly entries: readonly UnpackedEntry[];
  /** Bytes of the files that were selected. */
  readonly bytes: number;
  readonly comparison: Comparison;
  /** What cannot be put into the target, and was left out. */
  readonly unplaceable: readonly Unplaceable[];
  /** Empty after a dry run. */
  readonly switched: readonly Switched[];
}

/**
 * Opens a sealed file, unpacks it beside what is there, compares, asks, and exchanges one for the other. Whatever fails
 * before the exchange, the target is as it was.
 * @throws Failure `wrong-key` | `damaged` | `invalid` (a refused archive) | `interrupted`
 */
export async function bringBack(context: Context, sealed: SealedFile, options: BringBackOptions): Promise<BroughtBack> {
  const { screen, prompts, clock, signal } = context;
  const { target, work } = options;
  const stamp = restoreStamp(clock.now());
  const staging = stagingFolder(work, stamp);
  const format = await formatOf(sealed);
  const opened = await openSealed(sealed, format, options.keys);
  try {
    const { entries, bytes } = await unfold(context, sealed, opened, staging, options);
    const { selection, ownership } = options;
    const place = options.place ?? target;
    const whole = selection === null ? rootsOf(entries) : await selectedRoots(entries, target, selection);
    const isWanted = isInSome(whole);
    const wanted = entries.filter(({ path }) => isWanted(path));
    const all = await compareTrees(wanted, target, whole, { signal });
    // Owners are not compared: where they are restored, all is exchanged.
    const differs = ownership ? () => true : differing(all);
    const exchanged = whole.filter(({ path }) => differs(path));
    const unplaceable = await unplaceableAt(place, { entries, whole, roots: exchanged, stamp, differs });
    const roots = exchanged.filter((root) => !unplaceable.some(({ path }) => path === root.path));
    const isLeftOut = isInSome(unplaceable);
    const comparison = without(all, isLeftOut);
    const { set, owner } = sealed.manifest?.facts ?? {};
    const { elsewhere, absent } =
      selection === null
        ? await notInPlace(context, { entries, isLeftOut, staging, target: place, set, owner })
        : { elsewhere: [], absent: [] };
    const result = { format, entries, bytes, comparison, elsewhere, absent, unplaceable };
    if (options.dryRun) return { ...result, switched: [] };
    const tell = options.yes ? screen.note : screen.asked;
    tell(`${sealed.label} (${format}), ${formatByteSize(bytes)}, into ${target}: ${inWords(comparison)}`);
    if (comparison.dropped.length > 0) {
      tell(inLines('Not in the backup, and put aside with the folder that they are in:', comparison.dropped));
    }
    for (const { path, why } of unplaceable) tell(`Left out is ${path}: ${why.message}.`);
    if (
      !options.yes &&
      !(await prompts.confirm(options.question(entries), 'Give --yes, or look first with --dry-run.'))
    ) {
      throw new Failure('interrupted', 'nothing was restored');
    }
    signal.throwIfAborted();
    const { switched, warnings } = await intoPlace({ staging, target, entries, roots, stamp, differs });
    for (const warning of warnings) screen.warn(warning);
    const { aside, staying } = await asideOf(comparison.dropped, target, switched);
    if (staying.length > 0) screen.warn(inLines('not put aside, since the folder cannot be renamed here:', staying));
    return { ...result, comparison: { ...comparison, dropped: aside }, switched };
  } finally {
    // What is in place stays done, and what failed stays told.
    for (const warning of await removeStaging([staging])) screen.warn(warning);
  }
}

/** Unpacks what was sealed into the staging folder: an archive, or one file. */
async function unfold(
  { screen, signal, clock }: Context,
  sealed: SealedFile,
  { plaintext, keyProven }: OpenedEnvelope,
  staging: string,
  { ownership, limits, selection, target }: BringBackOptions,
): Promise<UnpackSummary> {
  const facts = sealed.manifest?.facts;
  const peeked = await peek(plaintext, archiveHead);
  if (beginsArchive(peeked.head)) {
    const unpacked = await unpack(peeked.from(0), staging, {
      // What the owner signed is no trap, however well it was compressed.
      limits: facts === undefined ? limits : { ratio: Number.POSITIVE_INFINITY, ...limits },
      ownership,
      controlCharacters: facts !== undefined,
      ...(selection === null ? {} : { selects: selection }),
      signal,
    });
    const { entries, leftOut } = unpacked;
    if (selection !== null && entries.length === 0) throw nothingSelected(sealed.label);
    if (!hasPredecessorLayout([...entries, ...leftOut])) return unpacked;
    return { ...unpacked, entries: await applyPredecessorLayout(staging, entries, selection === null) };
  }
  const name = nameOfContent(facts?.name ?? sealed.label);
  const refusal = selection === null ? await taken(target, name) : noParts(sealed.label);
  if (refusal !== null) {
    await peeked.release();
    throw refusal;
  }
  screen.note(`${sealed.label} holds no archive: its content becomes one file, ${name}.`);
  if (!keyProven) {
    screen.warn(
      `nothing proves that the Restic key is the right one for ${sealed.label}: one wrong key in 256 comes as far. Look ` +
        `at ${name} before you rely on it.`,
    );
  }
  const mtime = new Date(facts?.createdAtMs ?? clock.now());
  return writeSingle(peeked.from(0), staging, { name, mtime }, { limits, signal });
}

async function taken(target: string, name: string): Promise<Failure | null> {
  const path = join(target, name);
  const isThere = await lstat(path).then(
    () => true,
    () => false,
  );
  return isThere
    ? new Failure('conflict', `${path} is there already`, { hint: 'Move it away, or restore into another --target.' })
    : null;
}

function noParts(label: string): Failure {
  return new Failure('usage', `${label} holds no archive, so there are no parts of it to choose`, {
    hint: 'Leave out --include and --exclude.',
  });
}

function nothingSelected(label: string): Failure {
  return new Failure('not-found', `nothing in ${label} fits --include and --exclude`, {
    hint: 'Patterns are as in .gitignore, over the names that `restore --dry-run --target EMPTY` shows: config/ssh, *.conf.',
  });
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
  const differs = new Set([...added, ...changed, ...dropped]);
  for (const path of [...differs]) for (const folder of foldersAbove(path)) differs.add(folder);
  return (path) => differs.has(path);
}

/** Which of the things that are not in the backup were put aside: all that lie in what was exchanged. */
async function asideOf(
  dropped: readonly string[],
  target: string,
  switched: readonly Switched[],
): Promise<{ readonly aside: readonly string[]; readonly staying: readonly string[] }> {
  const real = await realpath(target);
  const isAside = isInSome(switched.map(({ path }) => ({ path: relative(real, path) })));
  return { aside: dropped.filter(isAside), staying: dropped.filter((path) => !isAside(path)) };
}

/** How many names a person is shown before a question. */
const mostNamed = 10;

function inLines(heading: string, paths: readonly string[]): string {
  const lines = paths.slice(0, mostNamed).map((path) => `  ${path}`);
  const more = paths.length - lines.length;
  return [heading, ...lines, ...(more > 0 ? [`  and ${more} more`] : [])].join('\n');
}

export function inWords({ added, changed, same, dropped }: Comparison): string {
  const words = `${added.length} new, ${changed.length} changed, ${same.length} untouched`;
  return dropped.length === 0 ? words : `${words}, ${dropped.length} that the backup does not have`;
}
