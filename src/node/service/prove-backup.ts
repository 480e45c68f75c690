import type { ProveBackupRequest, ProveBackupResponse } from '../../mesh/generated/anemone/peer/v1/peer.js';
import { leafSize } from '../../mesh/manifest/digest-tree.js';
import { Failure } from '../../mesh/terms/failure.js';
import type { Hostname } from '../../mesh/terms/hostname.js';
import { mostLeavesAsked } from '../../mesh/wire/limits.js';
import type { Vault } from '../vault/vault.js';
import { readableEntry } from './fetch-backup.js';

/** Leaves that are read while an earlier one is sent: each is a file opened, and a wait for the disk. */
const leavesAhead = 4;

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
  const readLeaf = async (leaf: number): Promise<Uint8Array> => {
    const offset = leaf * leafSize;
    const parts: Uint8Array[] = [];
    for await (const part of vault.read(name, offset, Math.min(leafSize, size - offset))) parts.push(part);
    return parts.length === 1 && parts[0] !== undefined ? parts[0] : Buffer.concat(parts);
  };
  const ahead: Promise<Uint8Array>[] = [];
  for (const [nth, leaf] of leaves.entries()) {
    const reading = readLeaf(leaf);
    // Whoever waits for it hears of a failure; nobody does when an earlier one has failed.
    reading.catch(() => undefined);
    ahead.push(reading);
    if (nth >= leavesAhead) yield { leaf: await (ahead.shift() ?? reading) };
  }
  for (const reading of ahead) yield { leaf: await reading };
}
