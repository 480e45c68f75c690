import { randomBytes } from 'node:crypto';
import { open, readFile, realpath, rename, stat, unlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { syncFolder } from '../files/sync-folder.js';
import { Failure } from '../terms/failure.js';

/**
 * Puts `text` in the place of a file that holds `before`: whoever reads it sees all of the old or all of the new, also
 * after a power cut. Mode and, where allowed, owner are kept; a symbolic link stays one.
 * @throws Failure `config` when the file changed in the meantime, or its folder cannot be written
 */
export async function replaceConfig(file: string, before: Uint8Array, text: string): Promise<void> {
  const target = await realpath(file);
  const temporary = join(dirname(target), `.${basename(target)}.${randomBytes(6).toString('hex')}.tmp`);
  try {
    const status = await stat(target);
    const handle = await open(temporary, 'wx', 0o600);
    try {
      await handle.writeFile(text);
      await handle.chown(status.uid, status.gid).catch(() => undefined);
      await handle.chmod(status.mode & 0o7777);
      await handle.sync();
    } finally {
      await handle.close();
    }
    if (!(await readFile(target)).equals(before)) {
      throw new Failure('config', `${file} was changed by someone else just now`, {
        hint: 'Try again.',
        retryable: true,
      });
    }
    await rename(temporary, target);
  } catch (thrown) {
    await unlink(temporary).catch(() => undefined);
    if (thrown instanceof Failure) throw thrown;
    const { code, message } = thrown as NodeJS.ErrnoException;
    throw new Failure('config', `${file} cannot be replaced: ${message}`, {
      cause: thrown,
      ...(code === 'EBUSY' ? { hint: 'It is mounted by itself: mount the folder that holds it instead.' } : {}),
    });
  }
  await syncFolder(dirname(target));
}
