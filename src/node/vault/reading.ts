import type { FileHandle } from 'node:fs/promises';
import { Failure } from '../../mesh/terms/failure.js';
import { type Disk, hasCode, openForReading, readFailure, readInto } from './disk.js';
import type { HeldEntry } from './held-entry.js';
import type { Parts } from './parts.js';

/** Streams that are open at the same time: each has a file open, for as long as its reader takes. */
const mostReaders = 128;

/** Bytes of a chunk: one message of a transfer carries it whole. */
const chunkSize = 2 ** 19;

/** Checks a range of a backup. @throws Failure `invalid` */
export function checkReadable(entry: HeldEntry, offset: number, length: number): void {
  const end = offset + length;
  if (!Number.isSafeInteger(offset) || !Number.isSafeInteger(end) || offset < 0 || length < 0 || end > entry.size) {
    throw new Failure('invalid', `${entry.name} has ${entry.size} bytes: there are no bytes ${offset} to ${end}`);
  }
}

/** Part of a file, in bytes. */
export interface Span {
  readonly offset: number;
  readonly length: number;
}

/**
 * Reads spans of a backup, one after the other, as chunks that are only lent. One that is not longer than 512 KiB comes in one
 * piece.
 */
export type ReadSpans = (entry: HeldEntry, spans: readonly Span[]) => AsyncGenerator<Uint8Array>;

/** Shares out the files that may be open for reading. */
export function openReading({ disk, layout, inventory, putAside }: Parts): ReadSpans {
  let readers = 0;
  return async function* read(entry, spans) {
    const path = layout.backup(entry.name).data;
    if (readers === mostReaders) {
      throw new Failure('failed', `${mostReaders} backups are being read already`, { retryable: true });
    }
    readers += 1;
    try {
      yield* chunks(disk, path, entry, spans);
    } catch (thrown) {
      inventory.doubt(entry, path, thrown);
      const failure = readFailure(thrown, entry.name);
      if (failure.kind !== 'damaged') throw failure;
      await putAside(entry, failure.message);
      // Its file had gone, and it is not held any more: what took it was no damage.
      const isRemoved = inventory.find(entry.name) === null && inventory.findings.damagedOf(entry.name).length === 0;
      throw isRemoved ? new Failure('not-found', `${entry.name} is not held here any more`) : failure;
    } finally {
      readers -= 1;
    }
  };
}

async function* chunks(disk: Disk, path: string, entry: HeldEntry, spans: readonly Span[]): AsyncGenerator<Uint8Array> {
  const handle = await open(disk, path, entry);
  try {
    if ((await handle.stat()).size !== entry.size) throw broken(entry, 'has another size than its manifest says');
    // A new buffer for each chunk would cost as much as sending it: a whole chunk is read into one of two.
    const buffers: Buffer[] = [];
    const bufferFor = (length: number): Buffer => {
      if (length < chunkSize) return Buffer.allocUnsafe(length);
      const buffer = (buffers.length === 2 ? buffers.shift() : undefined) ?? Buffer.allocUnsafe(chunkSize);
      buffers.push(buffer);
      return buffer;
    };
    const read = async ({ offset, length }: Span): Promise<Uint8Array> => {
      const chunk = bufferFor(length);
      if ((await readInto(handle, chunk, offset)) < length) throw broken(entry, 'was cut off while it was read');
      return chunk;
    };
    // While a chunk is on its way, the next one is read.
    let next: Promise<Uint8Array> | null = null;
    for (const piece of inChunks(spans)) {
      const ready = next;
      next = read(piece);
      // Whoever leaves early does not wait for it.
      next.catch(() => {});
      if (ready !== null) yield await ready;
    }
    if (next !== null) yield await next;
  } finally {
    await handle.close();
  }
}

function* inChunks(spans: readonly Span[]): Generator<Span> {
  for (const { offset, length } of spans) {
    for (let at = 0; at < length; at += chunkSize)
      yield { offset: offset + at, length: Math.min(chunkSize, length - at) };
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
