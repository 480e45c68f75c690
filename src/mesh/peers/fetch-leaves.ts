import { hashSize } from '../manifest/digest-tree.js';
import { callServerStream } from '../wire/calls.js';
import { peerService } from '../wire/methods.js';
import type { Channels } from './connection.js';

/** What is asked of a server. */
export interface LeavesQuestion {
  /** The index of the leaf to begin with. */
  readonly first?: number;
  /** For a backup of another server, of which this one had a copy. */
  readonly manifestDigest?: Uint8Array;
}

/**
 * The hashes of a backup's leaves as a peer, or the own node, sends them, in order, 32 bytes each. They are not verified:
 * whoever takes them compares their root with the signed manifest.
 */
export async function* fetchLeaves(
  { bulk }: Channels,
  name: string,
  { first = 0, manifestDigest = new Uint8Array() }: LeavesQuestion = {},
  signal?: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const request = { name, manifestDigest, first };
  let surplus: number | null = null;
  for await (const messages of callServerStream(bulk, peerService.fetchLeaves, request, signal)) {
    for (const { hashes, first: begins } of messages) {
      // Version 0.1.0 begins with the first leaf, whatever it is asked for.
      surplus ??= Math.max(0, first - begins) * hashSize;
      const wanted = hashes.subarray(surplus);
      surplus -= hashes.length - wanted.length;
      if (wanted.length > 0) yield wanted;
    }
  }
}
