import { dirname } from 'node:path';
import { Failure } from '../../mesh/terms/failure.js';
import { type Disk, hasCode, syncFolder } from './disk.js';
import type { Layout } from './layout.js';

/** The folders that every vault has, with names that outlast a power cut. */
export async function makeFolders(disk: Disk, layout: Layout): Promise<void> {
  const first = await disk.mkdir(layout.data, { recursive: true, mode: 0o700 });
  if (first !== undefined) {
    for (let made = layout.data; made !== dirname(first); made = dirname(made)) await syncFolder(disk, dirname(made));
  }
  for (const folder of [layout.local, layout.incoming, layout.quarantine, layout.state, layout.leaves]) {
    await disk.mkdir(folder, { recursive: true, mode: 0o700 });
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
  if (!found.isDirectory()) throw notUsable(`${folder} is a link or a file: no backup is looked for in it`);
  if (found.dev === (await disk.lstat(incoming)).dev) return;
  throw notUsable(
    `${folder} is in another file system than ${incoming}, or a subvolume of its own: no backup can be linked into it`,
  );
}

function notUsable(why: string): Failure {
  return new Failure('failed', why, {
    retryable: true,
    hint: 'On the server that has it, put an ordinary folder in its place. For another disk, move all of `server.data` there.',
  });
}
