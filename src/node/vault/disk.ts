import { closeSync, constants, lstatSync, openSync, readSync } from 'node:fs';
import fs, { type FileHandle } from 'node:fs/promises';
import { Failure } from '../../mesh/terms/failure.js';
import type { Log } from '../../mesh/terms/log.js';

export { writeAll } from '../../mesh/files/write-all.js';

/** The calls that the vault makes: whatever it does to a disk goes through here, but for the facts, which may be lost. */
export type Disk = Pick<
  typeof fs,
  'link' | 'lstat' | 'mkdir' | 'open' | 'readdir' | 'rename' | 'stat' | 'statfs' | 'unlink'
> &
  typeof atStart;

/** Calls that wait for the disk, for the start, when nobody else waits yet: each costs a quarter of one that does not. */
const atStart = { closeSync, lstatSync, openSync, readSync };

export const realDisk: Disk = { ...fs, ...atStart };

const { O_RDONLY, O_RDWR, O_CREAT, O_EXCL, O_NOFOLLOW, O_NONBLOCK, O_DIRECTORY } = constants;

// No call follows a link that someone put in place of a file (O_NOFOLLOW), or waits for a pipe (O_NONBLOCK).

/** Makes a file that was not there before, for its owner only. */
export function create(disk: Disk, path: string): Promise<FileHandle> {
  return disk.open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
}

/** Opens a file for reading and writing; makes it, for its owner only, when it is not there. */
export function openOrCreate(disk: Disk, path: string): Promise<FileHandle> {
  return disk.open(path, O_RDWR | O_CREAT | O_NOFOLLOW, 0o600);
}

/** Opens a file for reading and writing that is there. */
export function openForWriting(disk: Disk, path: string): Promise<FileHandle> {
  return disk.open(path, O_RDWR | O_NOFOLLOW);
}

export function openForReading(disk: Disk, path: string): Promise<FileHandle> {
  return disk.open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
}

/** Makes the names in a folder durable. A failure is final: nothing is known about what the disk kept. */
export async function syncFolder(disk: Disk, folder: string): Promise<void> {
  const handle = await disk.open(folder, O_RDONLY | O_DIRECTORY);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Fills as much of the buffer as the file has from a place on; returns the bytes read. */
export async function readInto(handle: FileHandle, buffer: Uint8Array, position: number): Promise<number> {
  let done = 0;
  while (done < buffer.length) {
    const { bytesRead } = await handle.read(buffer, done, buffer.length - done, position + done);
    if (bytesRead === 0) break;
    done += bytesRead;
  }
  return done;
}

/** Reads a small file whole, which a disk gives in one call; null when it is longer than `limit` bytes. */
export async function readSmall(disk: Disk, path: string, limit: number): Promise<Buffer | null> {
  const handle = await openForReading(disk, path);
  try {
    const buffer = Buffer.allocUnsafe(limit + 1);
    const { bytesRead } = await handle.read(buffer, 0, buffer.length, 0);
    return bytesRead > limit ? null : buffer.subarray(0, bytesRead);
  } finally {
    await handle.close();
  }
}

/**
 * Reads a small file whole, and waits for it; null when it is longer than the scratch, less one byte.
 * @param scratch where its bytes are until the next call
 */
export function readSmallNow(disk: Disk, path: string, scratch: Buffer): Buffer | null {
  const file = disk.openSync(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  try {
    const length = disk.readSync(file, scratch, 0, scratch.length, 0);
    return length === scratch.length ? null : scratch.subarray(0, length);
  } finally {
    disk.closeSync(file);
  }
}

/** Null where there is nothing; -1 for what is no ordinary file. */
export async function sizeOf(disk: Disk, path: string): Promise<number | null> {
  try {
    const stat = await disk.lstat(path);
    return stat.isFile() ? stat.size : -1;
  } catch (thrown) {
    if (hasCode(thrown, 'ENOENT')) return null;
    throw thrown;
  }
}

/** Removes a file; it is no failure when there is none. */
export async function removeFile(disk: Disk, path: string): Promise<void> {
  try {
    await disk.unlink(path);
  } catch (thrown) {
    if (!hasCode(thrown, 'ENOENT')) throw thrown;
  }
}

/** Removes what a failure leaves behind. What cannot be removed now is found at the next start. */
export async function removeLeftovers(disk: Disk, paths: readonly string[]): Promise<void> {
  await Promise.allSettled(paths.map((path) => disk.unlink(path)));
}

/** Removes a file that is in nobody's way: where that fails, a person is told, for nobody else would come across it. */
export async function removeTold(disk: Disk, path: string, log: Log): Promise<void> {
  await removeFile(disk, path).catch((thrown) => {
    log.warn('file cannot be removed', { file: path, reason: Failure.from(thrown).message });
  });
}

export function hasCode(thrown: unknown, ...codes: readonly string[]): boolean {
  return thrown instanceof Error && codes.includes((thrown as NodeJS.ErrnoException).code ?? '');
}

/**
 * What a disk call threw, as a Failure that says what it was for. It may be retried: what stands in the way is this disk,
 * which is the same for every backup, and no fault of this one.
 */
export function diskFailure(thrown: unknown, context: string): Failure {
  if (hasCode(thrown, 'EMFILE', 'ENFILE')) {
    return new Failure('failed', `${context}: too many open files`, { cause: thrown, retryable: true });
  }
  const failure = Failure.from(thrown, context);
  if (failure === thrown || !isOfSystem(thrown)) return failure;
  const mend = failure.kind === 'no-space' ? { hint: 'Free some disk on this server: bytes, or files (`df -i`).' } : {};
  return new Failure(failure.kind, failure.message, { cause: thrown, retryable: true, ...mend });
}

/** Does what works on a disk. @throws what it throws, as a {@link diskFailure} */
export async function onDisk<T>(context: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (thrown) {
    throw diskFailure(thrown, context);
  }
}

/** Of a file with bad sectors, or of a disk that stumbles; the last two are what Linux says of some of them. */
const badCodes = ['EIO', 'EBADMSG', 'EUCLEAN', 'ENODATA', 'EREMOTEIO'];
/** Of a file that nobody can read any more: its sectors are bad, or something else lies in its place. */
const lostCodes = [...badCodes, 'EISDIR', 'ELOOP', 'ENXIO'];
/** Of a file that this user may not read: a person's mistake, which can be put right. */
const lockedCodes = ['EACCES', 'EPERM'];

/** Whether a file is lost, by what reading it threw. */
export function isLost(thrown: unknown): boolean {
  return hasCode(causeOf(thrown), ...lostCodes);
}

/** Whether the same file may be read the next time, by what reading it threw: cables and controllers fail as sectors do. */
export function mayBeReadAgain(thrown: unknown): boolean {
  return hasCode(causeOf(thrown), ...badCodes);
}

/** Whether only this file cannot be read, by what reading it threw: of others that says nothing. */
export function isUnreadable(thrown: unknown): boolean {
  return hasCode(causeOf(thrown), ...lostCodes, ...lockedCodes);
}

/**
 * What reading a file of one backup threw. Unlike another {@link diskFailure} it is not to be tried again soon, and stands in
 * the way of no other backup.
 */
export function readFailure(thrown: unknown, context: string): Failure {
  const failure = diskFailure(thrown, context);
  if (failure === thrown || !isUnreadable(thrown)) return failure;
  const hint = isLost(thrown)
    ? 'It is examined in the next night. Look at the disk of the server that holds it.'
    : 'On the server that holds it, let the user of the node read it.';
  return new Failure(failure.kind, failure.message, { cause: thrown, hint });
}

function causeOf(thrown: unknown): unknown {
  return thrown instanceof Failure ? thrown.cause : thrown;
}

function isOfSystem(thrown: unknown): boolean {
  return thrown instanceof Error && 'syscall' in thrown;
}
