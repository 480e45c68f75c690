import { stat } from 'node:fs/promises';
import type { Clock } from '../mesh/terms/clock.js';

/** Milliseconds between two looks at the file. */
const look = 5_000;

/**
 * Calls back when a file was changed or replaced. It looks by itself instead of being notified: that also works for a file
 * that an editor replaces, in a container's volume, and on a network file system.
 * @param before the fingerprint of the file from before it was read, so that no change after that is missed
 * @returns what ends it
 */
export function followFile(
  path: string,
  before: string | null,
  clock: Clock,
  changed: () => Promise<void>,
): () => void {
  let known = before;
  let ended = false;
  let cancel = (): void => {};
  const check = async (): Promise<void> => {
    const now = await fingerprint(path);
    if (ended) return;
    if (known !== null && now !== null && now !== known) await changed();
    known = now ?? known;
    if (!ended) cancel = clock.after(look, () => void check());
  };
  void check();
  return () => {
    ended = true;
    cancel();
  };
}

/** What is another one when the file changed; null while it is not there: an editor is replacing it. */
export async function fingerprint(path: string): Promise<string | null> {
  try {
    const { ino, size, mtimeMs } = await stat(path);
    return `${ino} ${size} ${mtimeMs}`;
  } catch {
    return null;
  }
}
