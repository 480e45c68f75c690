import type { Comparison } from '../place/compare.js';
import type { Switched } from '../place/into-place.js';
import type { Planned } from '../place/plan.js';
import type { UnpackedEntry } from '../unpack/unpack.js';

/** What a restore did. */
export interface BroughtBack extends Planned {
  readonly format: string;
  readonly entries: readonly UnpackedEntry[];
  /** Bytes of the files that were selected. */
  readonly bytes: number;
  /** Empty after a dry run. */
  readonly switched: readonly Switched[];
}

export function inWords({ added, changed, same, dropped }: Comparison): string {
  const words = `${added.length} new, ${changed.length} changed, ${same.length} untouched`;
  return dropped.length === 0 ? words : `${words}, ${dropped.length} that the backup does not have`;
}
