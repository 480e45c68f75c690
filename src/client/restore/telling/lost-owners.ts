import { printable } from '../../../mesh/terms/clean-text.js';
import type { Context } from '../../session/context.js';
import { inSwitched } from '../place/into-place.js';
import { isInSome } from '../unpack/folders-above.js';
import type { UnpackedEntry } from '../unpack/unpack.js';
import type { BroughtBack } from './brought-back.js';
import { type Again, sameWithOwners } from './second-command.js';

/** A restore that put something into place. */
interface Done {
  readonly target: string;
  readonly outcome: BroughtBack;
  readonly again: Again;
  /** Null where this machine did not become the server. */
  readonly rebuilt: object | null;
}

/**
 * Warns root of what it put into place as its own, and others owned: what runs as they do, such as a database, may not be
 * able to read it. What a second command brings elsewhere is left to that one.
 */
export async function tellLostOwners({ screen, env }: Pick<Context, 'screen' | 'env'>, done: Done): Promise<void> {
  const { target, again, rebuilt } = done;
  if (process.geteuid?.() !== 0 || again.options.ownership === true) return;
  const lost = await lostOwners(done);
  const [example] = lost;
  if (example === undefined) return;
  const command = sameWithOwners({ env }, again, target, rebuilt !== null);
  screen.warn(
    `${lost.length} of what was restored belonged to others, such as ${printable(example.path)} to ` +
      `${example.uid}:${example.gid}, and is root's now: those may not be able to read it. With --ownership, owners ` +
      `come back by their numbers:\n  ${command}`,
  );
}

async function lostOwners({ target, outcome }: Done): Promise<readonly UnpackedEntry[]> {
  const { entries, switched, elsewhere } = outcome;
  const isInPlace = await inSwitched(target, switched);
  const isElsewhere = isInSome(elsewhere.map(({ belongs }) => ({ path: belongs.slice(1) })));
  return entries.filter(
    ({ path, kind, uid = 0, gid = 0 }) =>
      // A hard link has the owner of the file that it is.
      (uid !== 0 || gid !== 0) && kind !== 'hard-link' && isInPlace(path) && !isElsewhere(path),
  );
}
