import type { Bytes } from '../terms/bytes.js';
import { callServerStream } from '../wire/calls.js';
import { peerService } from '../wire/methods.js';
import type { Connection } from './connection.js';

/**
 * The hashes of a backup's leaves as a peer sends them, in order, 32 bytes each. They are not verified: whoever takes them
 * compares their root with the signed manifest.
 * @param manifestDigest for a backup of another server, of which this one had a copy
 */
export async function* fetchLeaves(
  connection: Connection,
  name: string,
  signal?: AbortSignal,
  manifestDigest: Uint8Array = new Uint8Array(),
): Bytes & AsyncGenerator<Uint8Array> {
  const request = { name, manifestDigest };
  const context = connection.context('bulk', signal);
  for await (const messages of callServerStream(connection.bulk, peerService.fetchLeaves, request, context)) {
    for (const { hashes } of messages) if (hashes.length > 0) yield hashes;
  }
}
