import { randomBytes } from 'node:crypto';
import { open, readdir, readFile, realpath, rename, stat, unlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { syncFolder } from '../files/sync-folder.js';
import { Failure, type FailureKind } from '../terms/failure.js';

/** UTF-8 of U+FEFF, which some editors begin a file with, and which decoding takes away. */
const byteOrderMark = Buffer.from('\uFEFF');

/** What can be done about it, by the code of the system. */
const reasons: Readonly<Record<string, readonly [FailureKind, string]>> = {
  EBUSY: ['config', 'It is mounted by itself: mount the folder that holds it instead.'],
  EACCES: ['config', 'Run this as the user that owns its folder.'],
  EPERM: ['config', 'Run this as the user that owns its folder.'],
  EROFS: ['config', 'It is mounted so that it can only be read.'],
  ENOSPC: ['no-space', 'Free some disk, and try again; nothing was changed.'],
  EDQUOT: ['no-space', 'Free some disk, and try again; nothing was changed.'],
};

/**
 * Puts `text` in the place of a file that holds `before`: whoever reads it sees all of the old or all of the new, also
 * after a power cut. Mode, a byte order mark and, where allowed, owner are kept; a symbolic link stays one.
 * @throws Failure `failed` when the file changed in the meantime, `no-space` when the disk is full, `config` when its
 * folder may not be written
 */
export async function replaceConfig(file: string, before: Buffer, text: string): Promise<void> {
  const target = await realpath(file);
  const temporary = join(dirname(target), `.${basename(target)}.${randomBytes(6).toString('hex')}.tmp`);
  const mark = before.subarray(0, byteOrderMark.length).equals(byteOrderMark) ? byteOrderMark : '';
  try {
    const status = await stat(target);
    const handle = await open(temporary, 'wx', 0o600);
    try {
      await handle.writeFile(`${mark}${text}`);
      await handle.chown(status.uid, status.gid).catch(() => undefined);
      await handle.chmod(status.mode & 0o7777);
      await handle.sync();
    } finally {
      await handle.close();
    }
    if (!(await readFile(target)).equals(before)) {
      throw new Failure('failed', `${file} was changed by someone else just now`, {
        hint: 'Try again.',
        retryable: true,
      });
    }
    await rename(temporary, target);
  } catch (thrown) {
    await unlink(temporary).catch(() => undefined);
    if (thrown instanceof Failure) throw thrown;
    const { code = '', message } = thrown as NodeJS.ErrnoException;
    const [kind, hint] = reasons[code] ?? ['failed', 'Nothing was changed.'];
    throw new Failure(kind, `${file} cannot be replaced: ${message}`, { cause: thrown, hint });
  }
  // Whatever becomes of them, the configuration is in place.
  await removeLeftovers(target).catch(() => undefined);
  await syncFolder(dirname(target));
}

/** Removes what a killed process left a minute ago or longer; a younger file is that of another one, which writes now. */
async function removeLeftovers(target: string): Promise<void> {
  const [folder, own] = [dirname(target), `.${basename(target)}`];
  const { mtimeMs: now } = await stat(target);
  for (const name of await readdir(folder)) {
    if (!name.startsWith(own) || !/^\.[0-9a-f]{12}\.tmp$/.test(name.slice(own.length))) continue;
    const path = join(folder, name);
    if (now - (await stat(path)).mtimeMs > 60_000) await unlink(path);
  }
}
