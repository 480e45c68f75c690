import { stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { Failure } from '../terms/failure.js';
import { shellWord } from '../terms/shell-word.js';

/**
 * What failed because a file or folder belongs to another user, with a hint that says so; any other failure as it is.
 * @param folder what this user is to own, with all that is in it: never one that others may have things in
 */
export async function withOwnerHint(failure: Failure, folder: string | null): Promise<Failure> {
  const { code, path } = (failure.cause ?? {}) as NodeJS.ErrnoException;
  const [uid, gid] = [process.geteuid?.(), process.getegid?.()];
  if (code !== 'EACCES' || path === undefined || failure.hint !== undefined) return failure;
  const barred = await nearest(path);
  if (barred.uid === uid) return failure;
  const { kind, message, retryable, cause } = failure;
  const isWithin = folder !== null && (barred.path === folder || barred.path.startsWith(`${folder}/`));
  const instead = isWithin
    ? `give it to this user, with \`chown -R ${uid}:${gid} ${shellWord(folder)}\``
    : 'choose a folder of this user';
  const hint =
    `This is uid ${uid}, and ${barred.path} belongs to uid ${barred.uid}. Run this as that user ` +
    `(in Docker: ANEMONE_UID, docs/deploy.md), or ${instead}.`;
  return new Failure(kind, message, { cause, retryable, hint });
}

/** The path itself, or the innermost folder above it that can be looked at. */
async function nearest(path: string): Promise<{ readonly path: string; readonly uid: number }> {
  const stats = await stat(path).catch(() => null);
  return stats === null ? nearest(dirname(path)) : { path, uid: stats.uid };
}
