import { callServerStream } from '../wire/calls.js';
import { peerService } from '../wire/methods.js';
import type { Connection } from './connection.js';

/**
 * Leaves of a backup as a peer sends them, in the order of their indexes. They are not verified: whoever asked compares
 * each with its hash.
 * @param leaves indexes, at most 1,000
 */
export async function* proveBackup(
  connection: Connection,
  name: string,
  leaves: readonly number[],
  signal?: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const request = { name, leaves: [...leaves] };
  for await (const messages of callServerStream(connection.bulk, peerService.proveBackup, request, signal)) {
    for (const { leaf } of messages) yield leaf;
  }
}
