import type { FetchLeavesRequest, FetchLeavesResponse } from '../../mesh/generated/anemone/peer/v1/peer.js';
import { leafSize } from '../../mesh/manifest/digest-tree.js';
import { Failure } from '../../mesh/terms/failure.js';
import type { Hostname } from '../../mesh/terms/hostname.js';
import type { Vault } from '../vault/vault.js';
import { readableEntry } from './fetch-backup.js';

/** Yields the hashes of a backup's leaves, from one on, to whoever may fetch it. */
export async function* fetchLeaves(
  vault: Vault,
  request: FetchLeavesRequest,
  mayRead: (owner: Hostname) => boolean,
): AsyncGenerator<FetchLeavesResponse> {
  const { first } = request;
  const { name, size } = readableEntry(vault, request.name, mayRead, request.manifestDigest);
  if (first > 0 && first >= Math.ceil(size / leafSize)) throw new Failure('invalid', `${name} has no leaf ${first}`);
  for await (const hashes of vault.leaves(name, first)) yield { hashes, first };
}
