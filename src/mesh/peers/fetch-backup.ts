import type { Bytes } from '../terms/bytes.js';
import { callServerStream } from '../wire/calls.js';
import { fetchBackupMethod } from '../wire/chunks.js';
import { bulkPatience, type Connection } from './connection.js';

/**
 * Bytes of a backup as a peer sends them, from an offset to the end. They are not verified: whoever takes them compares
 * them with the signed manifest.
 */
export async function* fetchBackup(
  connection: Connection,
  name: string,
  offset: number,
  signal?: AbortSignal,
): Bytes & AsyncGenerator<Uint8Array> {
  const request = { name, offset, length: 0 };
  const context = connection.context(bulkPatience, signal);
  for await (const { chunk } of callServerStream(connection.bulk, fetchBackupMethod, request, context)) {
    if (chunk.length > 0) yield chunk;
  }
}
