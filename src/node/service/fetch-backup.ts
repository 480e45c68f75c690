import { formatBackupName, parseBackupName } from '../../mesh/terms/backup-name.js';
import { Failure } from '../../mesh/terms/failure.js';
import type { Hostname } from '../../mesh/terms/hostname.js';
import type { Vault } from '../vault/vault.js';

/** Yields a range of a backup's bytes. A backup that the caller may not read looks like one that is not there. */
export async function* fetchBackup(
  vault: Vault,
  request: { readonly name: string; readonly offset: number; readonly length: number },
  mayRead: (owner: Hostname) => boolean,
): AsyncGenerator<{ chunk: Uint8Array }> {
  const name = formatBackupName(parseBackupName(request.name));
  const entry = vault.find(name);
  if (entry === null || !mayRead(entry.owner)) throw new Failure('not-found', `${name} is not held here`);
  const rest = entry.size - request.offset;
  if (rest < 0 || request.length > rest) {
    throw new Failure('invalid', `${name} has ${entry.size} bytes; the range asked for ends beyond`);
  }
  const length = request.length === 0 ? rest : request.length;
  for await (const chunk of vault.read(name, request.offset, length)) yield { chunk };
}
