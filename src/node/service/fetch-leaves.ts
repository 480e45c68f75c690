import type { Hostname } from '../../mesh/terms/hostname.js';
import type { Vault } from '../vault/vault.js';
import { readableEntry } from './fetch-backup.js';

/** Yields the hashes of a backup's leaves, to whoever may fetch it. */
export async function* fetchLeaves(
  vault: Vault,
  request: { readonly name: string; readonly manifestDigest?: Uint8Array },
  mayRead: (owner: Hostname) => boolean,
): AsyncGenerator<{ hashes: Uint8Array }> {
  const { name } = readableEntry(vault, request.name, mayRead, request.manifestDigest);
  for await (const hashes of vault.leaves(name)) yield { hashes };
}
