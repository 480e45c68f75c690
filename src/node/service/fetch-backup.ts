import type { FetchBackupRequest } from '../../mesh/generated/anemone/peer/v1/peer.js';
import { formatBackupName, parseBackupName } from '../../mesh/terms/backup-name.js';
import { Failure } from '../../mesh/terms/failure.js';
import type { Hostname } from '../../mesh/terms/hostname.js';
import type { HeldEntry } from '../vault/held-entry.js';
import type { Vault } from '../vault/vault.js';

/**
 * Yields a range of a backup's bytes. A backup that the caller may not read looks like one that is not there; who names the
 * digest of its manifest was given it, or the next one of its set, and may.
 */
export async function* fetchBackup(
  vault: Vault,
  request: FetchBackupRequest,
  mayRead: (owner: Hostname) => boolean,
): AsyncGenerator<{ chunk: Uint8Array }> {
  const { name, size } = readableEntry(vault, request.name, mayRead, request.manifestDigest);
  const rest = size - request.offset;
  if (rest < 0 || request.length > rest) {
    throw new Failure('invalid', `${name} has ${size} bytes; the range asked for ends beyond`);
  }
  const length = request.length === 0 ? rest : request.length;
  for await (const chunk of vault.read(name, request.offset, length)) yield { chunk };
}

/**
 * @throws Failure `not-found` for a backup that is not held, and for one that the caller may not read; `failed` for one that
 * the node itself may not read: an owner that is told it is gone asks for no proof of it any more
 */
export function readableEntry(
  vault: Vault,
  asked: string,
  mayRead: (owner: Hostname) => boolean,
  manifestDigest: Uint8Array = new Uint8Array(),
): HeldEntry {
  const parsed = parseBackupName(asked);
  const name = formatBackupName(parsed);
  const locked = mayRead(parsed.owner) ? vault.whyLocked(name) : null;
  if (locked !== null) throw locked;
  const entry = vault.find(name);
  if (entry === null || !(mayRead(entry.owner) || entry.digest.equals(manifestDigest)))
    throw new Failure('not-found', `${name} is not held here`);
  return entry;
}
