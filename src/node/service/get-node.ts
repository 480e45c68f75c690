import type { Config } from '../../mesh/config/config.js';
import type { SignedManifest } from '../../mesh/generated/anemone/backup/v1/backup.js';
import type { GetNodeRequest, GetNodeResponse } from '../../mesh/generated/anemone/peer/v1/peer.js';
import type { Hostname } from '../../mesh/terms/hostname.js';
import type { HeldEntry } from '../vault/held-entry.js';
import type { Vault } from '../vault/vault.js';
import type { Caller } from './callers.js';
import type { Epochs } from './epochs.js';
import { minimumDaysOf } from './list-backups.js';

/** What a node tells about itself that is not in its vault. */
export interface Self {
  readonly hostname: Hostname;
  /** Version of the program. */
  readonly version: string;
  now(): number;
}

/** Names in one answer; the others follow once these were sent again. */
const mostDamaged = 1000;

/** Sets of which one answer tells the newest backup. */
const mostSets = 100;

export async function getNode(
  self: Self,
  vault: Vault,
  epochs: Epochs,
  { newestBackups }: GetNodeRequest,
  caller: Caller,
  retention: Config['retention'],
): Promise<GetNodeResponse> {
  const newest = epochs.newest(caller.identity);
  return {
    hostname: self.hostname,
    version: self.version,
    timeMs: self.now(),
    used: vault.used(caller.name),
    quota: caller.quota,
    free: await vault.free(),
    newestEpochMs: newest?.epoch ?? 0,
    newestCertificate: newest?.der ?? Buffer.alloc(0),
    damaged: vault.damaged(caller.name).slice(0, mostDamaged),
    // What the rebuilt server makes is no business of the machine that was lost: the digest of a manifest opens more.
    newestBackups: newestBackups && newest?.fingerprint === caller.key ? await newestOf(vault, caller) : [],
    minimumDays: minimumDaysOf(retention),
  };
}

/** The manifest of the backup with the highest number of each set. One that cannot be read is left out. */
async function newestOf(vault: Vault, { name, identity }: Caller): Promise<SignedManifest[]> {
  const newest = new Map<string, HeldEntry>();
  for (const entry of vault.list({ owner: name })) {
    if (entry.identity === identity && entry.sequence > (newest.get(entry.set)?.sequence ?? 0)) {
      newest.set(entry.set, entry);
    }
  }
  const manifests = [...newest.values()].slice(0, mostSets).map((entry) =>
    vault.held(entry.name).then(
      ({ manifest }) => [manifest],
      () => [],
    ),
  );
  return (await Promise.all(manifests)).flat();
}
