import { dirname } from 'node:path';
import { makeFolders } from '../../mesh/files/make-folders.js';
import { Failure } from '../../mesh/terms/failure.js';
import { create, type Disk, hasCode, removeLeftovers, syncFolder } from './disk.js';
import type { Layout } from './layout.js';

/** The folders that every vault has, with names that outlast a power cut. */
export async function makeVaultFolders(disk: Disk, layout: Layout): Promise<void> {
  const first = await makeFolders(layout.data, 0o700, disk);
  if (first !== undefined) {
    for (let made = layout.data; made !== dirname(first); made = dirname(made)) await syncFolder(disk, dirname(made));
  }
  for (const folder of [layout.local, layout.incoming, layout.quarantine, layout.state, layout.leaves]) {
    await makeFolders(folder, 0o700, disk);
  }
  await syncFolder(disk, layout.data);
}

/** Makes a folder whose name in its parent is durable. */
export async function makeFolder(disk: Disk, folder: string, parent: string): Promise<void> {
  try {
    await disk.mkdir(folder, { mode: 0o700 });
  } catch (thrown) {
    if (!hasCode(thrown, 'EEXIST')) throw thrown;
  }
  await syncFolder(disk, parent);
}

const ordinaryFolder = 'put an ordinary folder in its place. For another disk, move all of `server.data` there.';

/**
 * Looks whether a backup could be linked into an owner's folder, and the next start would look for it there. A folder that is not
 * there yet is made in time.
 * @param incoming where the backup would be linked from
 * @throws Failure; otherwise what the disk threw
 */
export async function checkFolder(disk: Disk, folder: string, incoming: string): Promise<void> {
  const found = await disk.lstat(folder).catch((thrown) => {
    if (hasCode(thrown, 'ENOENT')) return null;
    throw thrown;
  });
  if (found === null) return;
  if (!found.isDirectory())
    throw notUsable(`${folder} is a link or a file: no backup is looked for in it`, ordinaryFolder);
  if (found.dev === (await disk.lstat(incoming)).dev) return;
  throw notUsable(
    `${folder} is in another file system than ${incoming}, or a subvolume of its own: no backup can be linked into it`,
    ordinaryFolder,
  );
}

/**
 * Whether backups can get their names at all, which are hard links.
 * @returns why they cannot; null where they can, or nothing can be tried on the disk just now
 */
export async function troubleWithLinks(disk: Disk, layout: Layout): Promise<Failure | null> {
  const [file, second] = [layout.temporary(), layout.temporary()];
  try {
    await (await create(disk, file)).close();
    const isUnknown = (thrown: unknown): boolean => hasCode(thrown, 'EPERM', 'ENOTSUP', 'ENOSYS');
    if (!(await disk.link(file, second).then(() => false, isUnknown))) return null;
    const why = 'the file system of the data folder knows no hard links, so no backup can be kept';
    return notUsable(why, 'put `server.data` on another one, such as ext4 or xfs.');
  } catch {
    return null;
  } finally {
    await removeLeftovers(disk, [second, file]);
  }
}

/** @param mend what a person does there */
function notUsable(why: string, mend: string): Failure {
  return new Failure('failed', why, { retryable: true, hint: `On the server that has it, ${mend}` });
}
