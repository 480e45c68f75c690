import { stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { Failure } from '../../mesh/terms/failure.js';

/**
 * Whoever names a place for a file may have mistyped it: no folder is made for it, which would be on this machine's own disk
 * where the one of a stick was meant.
 * @throws Failure `usage` when the folder is not there
 */
export async function needFolderOf(path: string): Promise<void> {
  const folder = dirname(path);
  if ((await stat(folder).catch(() => null)) !== null) return;
  throw new Failure('usage', `there is no folder ${folder}`, { hint: 'Is its disk mounted? Else make the folder.' });
}
