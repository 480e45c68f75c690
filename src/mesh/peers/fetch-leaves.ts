import type { FetchLeavesResponse } from '../generated/anemone/peer/v1/peer.js';
import { hashSize } from '../manifest/digest-tree.js';
import type { Bytes } from '../terms/bytes.js';
import { callServerStream } from '../wire/calls.js';
import { peerService } from '../wire/methods.js';
import type { Connection } from './connection.js';

/** What is asked of a peer. */
export interface LeavesQuestion {
  /** The index of the leaf to begin with. */
  readonly first?: number;
  /** For a backup of another server, of which this one had a copy. */
  readonly manifestDigest?: Uint8Array;
}

/**
 * The hashes of a backup's leaves as a peer sends them, in order, 32 bytes each. They are not verified: whoever takes them
 * compares their root with the signed manifest.
 */
export async function* fetchLeaves(
  connection: Connection,
  name: string,
  { first = 0, manifestDigest = new Uint8Array() }: LeavesQuestion = {},
  signal?: AbortSignal,
): Bytes & AsyncGenerator<Uint8Array> {
  const request = { name, manifestDigest, first };
  const context = connection.context('bulk', signal);
  yield* hashesFrom(first, callServerStream(connection.bulk, peerService.fetchLeaves, request, context));
}

/** The hashes of answers from a leaf on: a node of an older version begins with the first one, whatever it was asked for. */
export async function* hashesFrom(
  first: number,
  answers: AsyncIterable<readonly FetchLeavesResponse[]>,
): AsyncGenerator<Uint8Array> {
  let surplus: number | null = null;
  for await (const messages of answers) {
    for (const { hashes, first: begins } of messages) {
      surplus ??= Math.max(0, first - begins) * hashSize;
      const wanted = hashes.subarray(surplus);
      surplus -= hashes.length - wanted.length;
      if (wanted.length > 0) yield wanted;
    }
  }
}
