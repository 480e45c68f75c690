import { mkdir, rmdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { formatByteSize } from '../../mesh/terms/byte-size.js';
import { Failure } from '../../mesh/terms/failure.js';
import type { Context } from '../context.js';
import { type Comparison, compareTrees } from './compare.js';
import { intoPlace, type Switched } from './into-place.js';
import type { Keys } from './keys.js';
import { applyPredecessorLayout, hasPredecessorLayout } from './predecessor-layout.js';
import { formatOf, openSealed, type SealedFile } from './sealed-file.js';
import { removeStaleStaging, removeTree, restoreStamp, stagingFolder, workFolder } from './staging.js';
import { type UnpackedEntry, type UnpackLimits, unpack } from './unpack.js';

export interface BringBackOptions {
  readonly keys: Keys;
  /** Absolute; exists. */
  readonly target: string;
  readonly dryRun: boolean;
  /** Do not ask. */
  readonly yes: boolean;
  /** What is asked before anything is changed. */
  question(entries: readonly UnpackedEntry[]): string;
  readonly ownership: boolean;
  readonly limits: Partial<UnpackLimits>;
}

export interface BroughtBack {
  readonly format: string;
  readonly entries: readonly UnpackedEntry[];
  /** Bytes of all files together. */
  readonly bytes: number;
  readonly comparison: Comparison;
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
  const { target, ownership, limits } = options;
  const stamp = restoreStamp(clock.now());
  const work = await workFolder(target);
  const staging = stagingFolder(work, stamp);
  const format = await formatOf(sealed);
  const plaintext = await openSealed(sealed, format, options.keys);
  await removeStaleStaging(work);
  try {
    const controlCharacters = sealed.manifest !== null;
    const unpacked = await unpack(plaintext, staging, { limits, ownership, controlCharacters, signal });
    const entries = hasPredecessorLayout(unpacked.entries)
      ? await applyPredecessorLayout(staging, unpacked.entries)
      : unpacked.entries;
    const comparison = await compareTrees(entries, target);
    const result = { format, entries, bytes: unpacked.bytes, comparison };
    if (options.dryRun) return { ...result, switched: [] };
    screen.note(
      `${sealed.label} (${format}), ${formatByteSize(unpacked.bytes)}, into ${target}: ${inWords(comparison)}`,
    );
    if (
      !options.yes &&
      !(await prompts.confirm(options.question(entries), 'Give --yes, or look first with --dry-run.'))
    ) {
      throw new Failure('interrupted', 'nothing was changed');
    }
    signal.throwIfAborted();
    const { switched } = await intoPlace({ staging, target, entries, stamp });
    return { ...result, switched };
  } finally {
    await removeTree(staging);
  }
}

export function inWords({ added, changed, same, dropped }: Comparison): string {
  const words = `${added.length} new, ${changed.length} changed, ${same.length} untouched`;
  return dropped.length === 0 ? words : `${words}, ${dropped.length} that the backup does not have`;
}

/** Makes the target folder; the function that is returned removes what was made, as far as it is still empty. */
export async function makeTarget(target: string): Promise<() => Promise<void>> {
  let first: string | undefined;
  try {
    first = await mkdir(target, { recursive: true });
  } catch (thrown) {
    throw Failure.from(thrown, `the target ${target} cannot be made`);
  }
  return async () => {
    if (first === undefined) return;
    for (let folder = target; ; folder = dirname(folder)) {
      try {
        await rmdir(folder);
      } catch {
        return;
      }
      if (folder === first) return;
    }
  };
}
