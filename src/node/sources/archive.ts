import { type BigIntStats, constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import { type Header, type Pack, pack } from 'tar-stream';
import { Failure } from '../../mesh/terms/failure.js';
import type { SourceContext } from './source.js';
import { type Found, inodeOf, quote, reason } from './walk.js';

const readSize = 256 * 1024;
/**
 * Milliseconds between tries to open a file on which a file server (Samba, NFS) has a lease. The first try has it asked for,
 * and the system takes it back after 45 s, before the last.
 */
const shortestPause = 100;
const longestPause = shortestPause * 2 ** 8;
/** The largest user or group that the field of a tar header holds; a larger one goes into a pax record. */
const largestId = 0o777777;
/** tar-stream writes times as 32 bits with a sign; what lies outside goes into a pax record. */
const largestTime = 2 ** 31 - 1;

/**
 * What was found, as a tar stream. A file that changes while it is read is told through `warn`: its member keeps the size
 * that it had when it was opened, and is filled with zeros when there is less.
 * @throws Failure `failed` when there is nothing at all to keep
 */
export async function* archive(found: AsyncIterable<Found>, context: SourceContext): AsyncGenerator<Uint8Array> {
  const tar = pack();
  const filling = fill(tar, found, context).then(
    () => tar.finalize(),
    (error: Error) => tar.destroy(error),
  );
  try {
    yield* tar as AsyncIterable<Uint8Array>;
  } finally {
    tar.destroy();
    await filling;
  }
}

async function fill(tar: Pack, all: AsyncIterable<Found>, context: SourceContext): Promise<void> {
  const names = new Map<string, string>();
  let entries = 0;
  for await (const found of all) {
    context.signal.throwIfAborted();
    if (tar.destroyed) return;
    const first = found.stats.nlink > 1n ? names.get(generationOf(found.stats)) : undefined;
    if (found.kind !== 'file')
      await addEmpty(tar, found, found.kind === 'folder' ? 'directory' : 'symlink', found.target);
    else if (first !== undefined) await addEmpty(tar, found, 'link', first);
    else {
      const kept = await addFile(tar, found, context);
      if (kept === null) continue;
      if (kept.nlink > 1n) names.set(generationOf(kept), found.name);
    }
    entries += 1;
  }
  if (entries === 0) throw new Failure('failed', 'paths: nothing to back up: nothing was found that can be kept');
}

/** Tells a file from one that got its inode number after it was deleted. */
function generationOf(stats: BigIntStats): string {
  return `${inodeOf(stats)}:${stats.birthtimeNs}`;
}

function addEmpty(tar: Pack, found: Found, type: Header['type'], linkname: string): Promise<void> {
  const name = found.kind === 'folder' ? `${found.name}/` : found.name;
  return new Promise((resolve, reject) => {
    tar.entry({ ...headersOf(found.stats), name, type, size: 0, linkname }, (error) =>
      error ? reject(error) : resolve(),
    );
  });
}

/** @returns what was read, which may have taken the place of what was found; null when nothing was written */
async function addFile(tar: Pack, found: Found, context: SourceContext): Promise<BigIntStats | null> {
  const { warn } = context;
  let file: FileHandle;
  context.reading(found.absolute);
  try {
    file = await openFile(found.absolute, context);
  } catch (error) {
    context.signal.throwIfAborted();
    warn(`${quote(found.name)} is left out: ${reason(error)}`);
    return null;
  }
  try {
    const before = await file.stat({ bigint: true });
    if (!before.isFile()) {
      warn(`${quote(found.name)} is left out: it stopped being a file`);
      return null;
    }
    const size = Number(before.size);
    const headers = { ...headersOf(before), name: found.name, type: 'file', size } as const;
    let end = size;
    const ended = (at: number): void => {
      end = at;
    };
    await pipeline(contentOf(file, size, found, context, ended), tar.entry(headers));
    const difference = differenceOf(before, await file.stat({ bigint: true }), end);
    if (difference !== null) warn(`${quote(found.name)} ${difference}`);
    return before;
  } finally {
    await file.close();
  }
}

/**
 * What is wrong with a member; null when nothing is. Some file systems tell a wrong size of files that nobody changes, as
 * `/proc` and `/sys` do, and some network mounts.
 * @param end where the file ended; more than its size when it goes on there
 */
function differenceOf(before: BigIntStats, after: BigIntStats, end: number): string | null {
  if (after.size < before.size) return 'changed while it was read: it shrank';
  if (end < before.size) {
    return `ends after ${end} of the ${before.size} bytes that its file system tells of; zeros take the place of the rest`;
  }
  if (after.size > before.size || after.mtimeNs !== before.mtimeNs) return 'changed while it was read';
  if (end === Number(before.size)) return null;
  return `has more than the ${before.size} bytes that its file system tells of; the rest is left out`;
}

/** @throws the error of the system */
async function openFile(path: string, { clock, signal }: SourceContext): Promise<FileHandle> {
  for (let pause = shortestPause; ; pause *= 2) {
    try {
      // O_NONBLOCK: a pipe that took the file's place must not make the open wait.
      return await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN' || pause > longestPause) throw error;
    }
    await clock.sleep(pause, signal);
  }
}

/**
 * The bytes of a member, as many as its header says.
 * @param ended told where the file ended; of what lies beyond its size, one byte is asked for
 */
async function* contentOf(
  file: FileHandle,
  size: number,
  found: Found,
  { warn, reading }: SourceContext,
  ended: (at: number) => void,
): AsyncGenerator<Uint8Array> {
  let done = 0;
  let failed = false;
  while (done <= size) {
    reading(found.absolute);
    const chunk = Buffer.allocUnsafe(Math.min(readSize, size + 1 - done));
    const { bytesRead } = await file.read(chunk, 0, chunk.length, done).catch((error) => {
      const rest = done < size ? '; zeros take the place of the rest' : '';
      warn(`${quote(found.name)} cannot be read beyond byte ${done}: ${reason(error)}${rest}`);
      failed = true;
      return { bytesRead: 0 };
    });
    if (done < size && bytesRead > 0) yield chunk.subarray(0, Math.min(bytesRead, size - done));
    done += bytesRead;
    if (bytesRead === 0 || (done === size && bytesRead < chunk.length)) break;
  }
  // What could not be read was told.
  ended(failed ? size : done);
  for (; done < size; done += readSize) yield Buffer.alloc(Math.min(readSize, size - done));
}

/** Only what the tree itself says: no names of users, which differ between machines. */
function headersOf(stats: BigIntStats): Omit<Partial<Header>, 'name'> {
  const uid = Number(stats.uid);
  const gid = Number(stats.gid);
  const seconds = Number(stats.mtimeNs / 1_000_000_000n);
  const pax: Record<string, string> = {};
  if (uid > largestId) pax['uid'] = String(uid);
  if (gid > largestId) pax['gid'] = String(gid);
  if (seconds < 0 || seconds > largestTime) pax['mtime'] = String(seconds);
  return {
    // tar-stream takes a mode of 0 for none given, and keeps only the lowest 12 bits of this one.
    mode: Number(stats.mode),
    uid: Math.min(uid, largestId),
    gid: Math.min(gid, largestId),
    mtime: new Date(Math.min(Math.max(seconds, 0), largestTime) * 1000),
    ...(Object.keys(pax).length === 0 ? {} : { pax }),
  };
}
