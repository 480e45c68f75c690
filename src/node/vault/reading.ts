import type { FileHandle } from 'node:fs/promises';
import { Failure } from '../../mesh/terms/failure.js';
import { type Disk, diskFailure, hasCode, openForReading, readInto } from './disk.js';
import type { HeldEntry } from './held-entry.js';

/** Streams that are open at the same time: each has a file open, for as long as its reader takes. */
const mostReaders = 128;

/** Bytes of a chunk: one message of a transfer carries it whole, and a dozen wait on either side. */
const chunkSize = 2 ** 18;

/** Checks a range of a backup. @throws Failure `invalid` */
export function checkReadable(entry: HeldEntry, offset: number, length: number): void {
  const end = offset + length;
  if (!Number.isSafeInteger(offset) || !Number.isSafeInteger(end) || offset < 0 || length < 0 || end > entry.size) {
    throw new Failure('invalid', `${entry.name} has ${entry.size} bytes: there are no bytes ${offset} to ${end}`);
  }
}

export interface ReadingOptions {
  readonly disk: Disk;
  /** Told of a backup that is not what it was when it was committed. */
  damaged(entry: HeldEntry, why: string): Promise<void>;
}

/** Reads ranges of backups. */
export type ReadRange = (
  path: string,
  entry: HeldEntry,
  range: { readonly offset: number; readonly length: number },
) => AsyncGenerator<Uint8Array>;

/** Shares out the files that may be open for reading. */
export function openReading({ disk, damaged }: ReadingOptions): ReadRange {
  let readers = 0;
  return async function* read(path, entry, range) {
    if (readers === mostReaders) {
      throw new Failure('failed', `${mostReaders} backups are being read already`, { retryable: true });
    }
    readers += 1;
    try {
      yield* chunks(disk, path, entry, range);
    } catch (thrown) {
      const failure = diskFailure(thrown, entry.name);
      if (failure.kind === 'damaged') await damaged(entry, failure.message);
      throw failure;
    } finally {
      readers -= 1;
    }
  };
}

async function* chunks(
  disk: Disk,
  path: string,
  entry: HeldEntry,
  { offset, length }: { readonly offset: number; readonly length: number },
): AsyncGenerator<Uint8Array> {
  const handle = await open(disk, path, entry);
  try {
    if ((await handle.stat()).size !== entry.size) throw broken(entry, 'has another size than its manifest says');
    const end = offset + length;
    const readAt = async (position: number): Promise<Uint8Array> => {
      const chunk = Buffer.allocUnsafe(Math.min(chunkSize, end - position));
      const filled = await readInto(handle, chunk, position);
      if (filled < chunk.length) throw broken(entry, 'was cut off while it was read');
      return chunk;
    };
    // While a chunk is on its way, the next one is read.
    let next = length > 0 ? readAt(offset) : null;
    for (let position = offset; next !== null; ) {
      const chunk: Uint8Array = await next;
      position += chunk.length;
      next = position < end ? readAt(position) : null;
      // Whoever leaves early does not wait for it.
      next?.catch(() => {});
      yield chunk;
    }
  } finally {
    await handle.close();
  }
}

async function open(disk: Disk, path: string, entry: HeldEntry): Promise<FileHandle> {
  try {
    return await openForReading(disk, path);
  } catch (thrown) {
    if (hasCode(thrown, 'ENOENT')) throw broken(entry, 'has vanished');
    throw thrown;
  }
}

function broken(entry: HeldEntry, what: string): Failure {
  return new Failure('damaged', `the file of ${entry.name} ${what}`, {
    hint: 'Fetch this backup from another server that holds it.',
  });
}
