import { statsIfThere } from '../../../mesh/files/stats-if-there.js';
import { formatByteSize } from '../../../mesh/terms/byte-size.js';
import { Failure } from '../../../mesh/terms/failure.js';
import { freeSpace } from '../../server/free-space.js';
import type { Context } from '../../session/context.js';

/** What takes room on the disk while a backup is fetched or restored. */
export interface Need {
  /** As messages call the backup. */
  readonly label: string;
  /** Bytes of the backup. */
  readonly size: number;
  /** Where it is fetched to, and some of it may be already; null for a file that is here. */
  readonly part: string | null;
  /** The folder in which it is fetched and unpacked. */
  readonly work: string;
  /** Whether all of it is unpacked there. */
  readonly isWhole: boolean;
  /** What a person can do where there is not enough. */
  readonly hint: string;
}

/** The hint of a restore, which may be at work elsewhere than in its target. */
export function roomForRestore(work: string, target: string): string {
  return work === target
    ? 'Restore into a --target on a disk with more room, or only a part, with --include.'
    : 'Name a folder with more room in the environment, as TMPDIR.';
}

/**
 * Does what needs room for a backup: its bytes, and about as many again for what is unpacked from them. Where that is not
 * there, says how much it is.
 * @throws Failure `failed` before the action, where not even the download has room; what the action throws
 */
export async function withRoom<T>({ screen }: Context, need: Need, action: () => Promise<T>): Promise<T> {
  const { label, size, part, work, isWhole, hint } = need;
  const here = part === null ? size : ((await statsIfThere(part))?.blocks ?? 0) * 512;
  const toFetch = Math.max(0, size - here);
  const needed = toFetch + (isWhole ? size : 0);
  const free = await freeSpace(work);
  // Where nobody tells, nothing is known against the restore.
  const there = free === null ? '' : `, where ${formatByteSize(free)} were free`;
  const wanted = `${label} needs about ${formatByteSize(needed)} in ${work}${there}`;
  if (free !== null && toFetch > free) throw new Failure('failed', `there is not enough room: ${wanted}`, { hint });
  if (free !== null && needed > free) screen.warn(`There may not be enough room: ${wanted}. ${hint}`);
  try {
    return await action();
  } catch (thrown) {
    const failure = Failure.from(thrown);
    if (failure.kind !== 'no-space') throw failure;
    throw new Failure('failed', `${failure.message}: ${wanted}`, { cause: failure, hint });
  }
}
