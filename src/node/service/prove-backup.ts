import type { ProveBackupRequest, ProveBackupResponse } from '../../mesh/generated/anemone/peer/v1/peer.js';
import { leafSize } from '../../mesh/manifest/digest-tree.js';
import { Failure } from '../../mesh/terms/failure.js';
import type { Hostname } from '../../mesh/terms/hostname.js';
import { mostLeavesAsked } from '../../mesh/wire/limits.js';
import type { Vault } from '../vault/vault.js';
import { readableEntry } from './fetch-backup.js';

/** Yields the leaves that the caller picked, and reads nothing else. */
export async function* proveBackup(
  vault: Vault,
  request: ProveBackupRequest,
  mayRead: (owner: Hostname) => boolean,
): AsyncGenerator<ProveBackupResponse> {
  const { name, size } = readableEntry(vault, request.name, mayRead);
  const { leaves } = request;
  if (leaves.length > mostLeavesAsked) {
    throw new Failure('invalid', `${leaves.length} leaves were asked for; ${mostLeavesAsked} are allowed`);
  }
  const count = Math.ceil(size / leafSize);
  const wrong = leaves.find((leaf) => !Number.isSafeInteger(leaf) || leaf < 0 || leaf >= count);
  if (wrong !== undefined) throw new Failure('invalid', `${name} has ${count} leaves; there is no leaf ${wrong}`);
  const spans = leaves.map((leaf) => {
    const offset = leaf * leafSize;
    return { offset, length: Math.min(leafSize, size - offset) };
  });
  for await (const leaf of vault.readSpans(name, spans)) yield { leaf };
}
