import type { HeldBackup } from '../../mesh/generated/anemone/backup/v1/backup.js';
import { parseSetName } from '../../mesh/terms/backup-name.js';
import { Failure } from '../../mesh/terms/failure.js';
import { type Hostname, parseHostname } from '../../mesh/terms/hostname.js';
import type { Vault } from '../vault/vault.js';
import type { Caller } from './callers.js';

/** Entries of one message: about 110 KB, well below the limit of a gRPC message. */
const pageSize = 100;

/** Yields what is held, in pages. `mayRead` decides for each owner; who asks for a forbidden one by name is told so. */
export async function* listBackups(
  vault: Vault,
  filter: { readonly owner: string; readonly set: string },
  mayRead: (owner: Hostname) => boolean,
): AsyncGenerator<{ backups: HeldBackup[] }> {
  const owner = filter.owner === '' ? null : parseHostname(filter.owner);
  if (owner !== null && !mayRead(owner)) throw new Failure('forbidden', `you may not read the backups of ${owner}`);
  const entries = vault
    .list({ ...(owner === null ? {} : { owner }), ...(filter.set === '' ? {} : { set: parseSetName(filter.set) }) })
    .filter((entry) => mayRead(entry.owner));
  for (let start = 0; start < entries.length; start += pageSize) {
    const page = await Promise.all(entries.slice(start, start + pageSize).map((entry) => sidecarOf(vault, entry.name)));
    yield { backups: page.filter((held) => held !== null) };
  }
}

/** Null for a backup that was removed in the meantime, or whose manifest its owner did not sign: it is not shown as one. */
async function sidecarOf(vault: Vault, name: string): Promise<HeldBackup | null> {
  try {
    return await vault.held(name);
  } catch (thrown) {
    const { kind } = Failure.from(thrown);
    if (kind === 'not-found' || kind === 'damaged' || kind === 'untrusted') return null;
    throw thrown;
  }
}

/** A caller reads its own backups, and those of servers that the configuration lets it read. */
export function readableBy(caller: Caller): (owner: Hostname) => boolean {
  return (owner) => owner === caller.name || caller.reads.includes(owner);
}
