import type { Hostname } from '../../mesh/terms/hostname.js';
import type { Vault } from '../vault/vault.js';
import { readableEntry } from './fetch-backup.js';

/** Yields the hashes of a backup's leaves. A backup that the caller may not read looks like one that is not there. */
export async function* fetchLeaves(
  vault: Vault,
  request: { readonly name: string },
  mayRead: (owner: Hostname) => boolean,
): AsyncGenerator<{ hashes: Uint8Array }> {
  const { name } = readableEntry(vault, request.name, mayRead);
  for await (const hashes of vault.leaves(name)) yield { hashes };
}
