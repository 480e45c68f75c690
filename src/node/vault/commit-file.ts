import type { FileHandle } from 'node:fs/promises';
import { Failure } from '../../mesh/terms/failure.js';
import { settleAll } from '../../mesh/terms/settle-all.js';
import {
  create,
  type Disk,
  hasCode,
  openForReading,
  readInto,
  readSmall,
  removeLeftovers,
  syncFolder,
  writeAll,
} from './disk.js';
import { decodeSidecar, longestSidecar } from './held-entry.js';
import type { BackupFiles } from './layout.js';

/** A temporary file whose bytes are complete, in the file system of the vault. Whoever commits it closes and removes it. */
export interface Staged {
  readonly path: string;
  readonly handle: FileHandle;
}

/** Writes a small file under a temporary name. */
export async function stage(disk: Disk, path: string, bytes: Uint8Array): Promise<Staged> {
  const handle = await create(disk, path);
  try {
    await writeAll(handle, bytes, 0);
    return { path, handle };
  } catch (thrown) {
    await handle.close().catch(() => undefined);
    await removeLeftovers(disk, [path]);
    throw thrown;
  }
}

/**
 * Makes a backup out of two temporaries: when this returns, both files are durable under their final names. The data's
 * name comes last, and is what makes the backup count; until the folder is synced nobody may be told about it.
 *
 * Whatever fails, the temporaries are gone afterwards, and so are the names that this call made: after a failed fsync
 * nothing is known about the bytes, so it is never tried again. Calls for one backup must not overlap.
 * @throws Failure `conflict` when the name is taken by other bytes; otherwise what the disk threw
 */
export async function commitBackup(disk: Disk, target: BackupFiles, data: Staged, sidecar: Staged): Promise<void> {
  const linked: string[] = [];
  try {
    await syncAndClose([data, sidecar]);
    const taken = await isTaken(disk, data.path, target.data);
    if (await placeSidecar(disk, sidecar.path, target.sidecar, taken)) linked.push(target.sidecar);
    if (!taken) {
      await disk.link(data.path, target.data);
      linked.unshift(target.data);
    }
    await removeLeftovers(disk, [data.path, sidecar.path]);
    await syncFolder(disk, target.folder);
  } catch (thrown) {
    await removeLeftovers(disk, linked);
    await removeLeftovers(disk, [data.path, sidecar.path]);
    throw hasCode(thrown, 'EEXIST') ? conflict(target.data, thrown) : thrown;
  }
}

/** Both at once, so that the file system writes its journal once. Every handle is closed, whatever fails. */
async function syncAndClose(files: readonly Staged[]): Promise<void> {
  await settleAll(
    files.map(async ({ handle }) => {
      try {
        await handle.sync();
      } finally {
        await handle.close();
      }
    }),
  );
}

/** Whether the final name has these very bytes already; if so, they are made durable, for nobody knows who wrote them. */
async function isTaken(disk: Disk, temporary: string, final: string): Promise<boolean> {
  const existing = await openIfThere(disk, final);
  if (existing === null) return false;
  try {
    if (!(await sameBytes(disk, temporary, existing))) throw conflict(final);
    await existing.sync();
    return true;
  } finally {
    await existing.close();
  }
}

/**
 * Puts the sidecar in its place. One that is there without data is what an interrupted commit or removal left: it never
 * counted, and gives way. So does one beside the same data with the same manifest: each attempt signs a receipt of its own.
 * @returns whether it is to be taken away again when the commit fails: not where another one stood beside the data
 */
async function placeSidecar(disk: Disk, temporary: string, final: string, hasData: boolean): Promise<boolean> {
  try {
    await disk.link(temporary, final);
    return true;
  } catch (thrown) {
    if (!hasCode(thrown, 'EEXIST')) throw thrown;
  }
  if (!hasData) {
    // Not renamed: by its second name a start knows what it is, until the data has its name.
    await disk.unlink(final);
    await disk.link(temporary, final);
    return true;
  }
  if (!(await haveSameManifest(disk, temporary, final))) throw conflict(final);
  await disk.rename(temporary, final);
  return false;
}

async function haveSameManifest(disk: Disk, sidecar: string, other: string): Promise<boolean> {
  const mine = await manifestIn(disk, sidecar);
  const theirs = await manifestIn(disk, other);
  return mine !== null && theirs !== null && mine.equals(theirs);
}

/** The bytes of the manifest in a sidecar; null where there is none. */
async function manifestIn(disk: Disk, path: string): Promise<Buffer | null> {
  const bytes = await readSmall(disk, path, longestSidecar).catch((thrown) => {
    if (hasCode(thrown, 'ELOOP')) return null;
    throw thrown;
  });
  try {
    return Buffer.from(decodeSidecar(bytes ?? new Uint8Array()).manifest.manifest);
  } catch {
    return null;
  }
}

async function openIfThere(disk: Disk, path: string): Promise<FileHandle | null> {
  try {
    return await openForReading(disk, path);
  } catch (thrown) {
    if (hasCode(thrown, 'ENOENT')) return null;
    throw hasCode(thrown, 'ELOOP') ? conflict(path, thrown) : thrown;
  }
}

async function sameBytes(disk: Disk, path: string, other: FileHandle): Promise<boolean> {
  const handle = await openForReading(disk, path);
  try {
    const [mine, theirs] = [Buffer.allocUnsafe(2 ** 18), Buffer.allocUnsafe(2 ** 18)];
    for (let position = 0; ; position += mine.length) {
      const length = await readInto(handle, mine, position);
      const otherLength = await readInto(other, theirs, position);
      if (length !== otherLength || !mine.subarray(0, length).equals(theirs.subarray(0, length))) return false;
      if (length < mine.length) return true;
    }
  } finally {
    await handle.close();
  }
}

function conflict(path: string, cause?: unknown): Failure {
  return new Failure('conflict', `${path} is there already, with other bytes`, {
    cause,
    hint: 'It is left as it is. Move it away if it is not wanted.',
  });
}
