import type { GetNodeResponse } from '../../mesh/generated/anemone/peer/v1/peer.js';
import type { Hostname } from '../../mesh/terms/hostname.js';
import type { Vault } from '../vault/vault.js';
import type { Caller } from './callers.js';
import type { Epochs } from './epochs.js';

/** What a node tells about itself that is not in its vault. */
export interface Self {
  readonly hostname: Hostname;
  /** Version of the program. */
  readonly version: string;
  now(): number;
}

/** Names in one answer; the others follow once these were sent again. */
const mostDamaged = 1000;

export async function getNode(self: Self, vault: Vault, epochs: Epochs, caller: Caller): Promise<GetNodeResponse> {
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
  };
}
