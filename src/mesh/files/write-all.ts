import type { FileHandle } from 'node:fs/promises';
import { Failure } from '../terms/failure.js';

/** Writes all of the bytes at a place: one call may take only some of them. @throws Failure when the disk takes none */
export async function writeAll(handle: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    const { bytesWritten } = await handle.write(bytes, done, bytes.length - done, position + done);
    if (bytesWritten === 0) throw new Failure('failed', 'the disk takes no more bytes');
    done += bytesWritten;
  }
}
