import type { FileHandle } from 'node:fs/promises';
import type { LentBytes } from '../terms/bytes.js';
import { Failure } from '../terms/failure.js';

/**
 * The bytes of an open file from an offset on, as chunks of 1 MiB, lent from one buffer: a new one for each costs as much as its
 * SHA-256. The file stays open when they are left in their middle; a stream of Node closes it then.
 * @throws Failure `interrupted`
 */
export async function* readAll(
  file: FileHandle,
  { start = 0, signal }: { readonly start?: number; readonly signal?: AbortSignal | undefined } = {},
): LentBytes {
  const buffer = Buffer.allocUnsafe(2 ** 20);
  for (let position = start; ; ) {
    let filled = 0;
    while (filled < buffer.length) {
      const { bytesRead } = await file.read(buffer, filled, buffer.length - filled, position + filled);
      if (bytesRead === 0) break;
      filled += bytesRead;
    }
    if (signal?.aborted) throw new Failure('interrupted', 'interrupted');
    if (filled > 0) yield buffer.subarray(0, filled);
    if (filled < buffer.length) return;
    position += filled;
  }
}
