import type { Identity } from '../../mesh/identity/identity.js';
import { readChainHead, writeChainHead } from '../../mesh/manifest/chain.js';
import type { Vault } from '../vault/vault.js';
import type { ChainHead, SetParts } from './keep-set.js';

/**
 * The newest backup of a set that this server knows of: in its vault, or written down when it was made here, or seen on its
 * peers when this server was rebuilt.
 */
export function chainHeads(vault: Vault, identity: Identity): Pick<SetParts, 'chainHead' | 'keepChainHead'> {
  const { state } = vault.layout;
  return {
    async chainHead(set) {
      const heads: ChainHead[] = vault
        .list({ set })
        .filter(({ own }) => own)
        .map(({ name, sequence, digest, size }) => ({ name, sequence, digest, size, held: true }));
      const known = await readChainHead(state, set, identity).catch((thrown) => {
        // The newest in the vault serves as well. Without any, a sequence that begins anew would look like a rollback.
        if (heads.length > 0) return null;
        throw thrown;
      });
      if (known !== null)
        heads.push({ ...known.facts, digest: known.digest, held: vault.find(known.facts.name) !== null });
      return heads.reduce<ChainHead | null>(
        (best, head) => (best === null || head.sequence > best.sequence ? head : best),
        null,
      );
    },
    keepChainHead: (set, head) => writeChainHead(state, set, head),
  };
}
