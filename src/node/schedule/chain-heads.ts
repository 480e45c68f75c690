import type { Identity } from '../../mesh/identity/identity.js';
import { readChainHead } from '../../mesh/manifest/chain.js';
import type { Vault } from '../vault/vault.js';
import type { ChainHead } from './keep-set.js';

/** The newest backup of a set that this server knows of: in its vault, or seen on its peers when it was rebuilt. */
export function chainHeads(vault: Vault, identity: Identity): (set: string) => Promise<ChainHead | null> {
  return async (set) => {
    const heads: ChainHead[] = vault
      .list({ set })
      .filter(({ own }) => own)
      .map(({ name, sequence, digest, size }) => ({ name, sequence, digest, size, held: true }));
    const seen = await readChainHead(vault.layout.state, set, identity);
    if (seen !== null) heads.push({ ...seen.facts, digest: seen.digest, held: vault.find(seen.facts.name) !== null });
    return heads.reduce<ChainHead | null>(
      (best, head) => (best === null || head.sequence > best.sequence ? head : best),
      null,
    );
  };
}
