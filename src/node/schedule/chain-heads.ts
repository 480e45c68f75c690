import { provenEpoch } from '../../mesh/identity/node-certificate.js';
import type { ServerIdentity } from '../../mesh/identity/server-identity.js';
import { readChainHead, writeChainHead } from '../../mesh/manifest/chain.js';
import type { Vault } from '../vault/vault.js';
import type { ChainHead, SetParts } from './keep-set.js';

/**
 * Numbers that the first backup of a rebuilt server leaves out: a peer that was away when it was rebuilt may hold later ones than
 * any that it saw, and those must not pass for newer than what is made from now on.
 */
const leftOut = 1000;

/**
 * The newest backup of a set that this server knows of: in its vault, or written down when it was made here, or seen on its
 * peers when this server was rebuilt.
 */
export function chainHeads(
  vault: Vault,
  { identity, certificate }: Pick<ServerIdentity, 'identity' | 'certificate'>,
): Pick<SetParts, 'chainHead' | 'keepChainHead'> {
  const { state } = vault.layout;
  return {
    async chainHead(set) {
      const heads: ChainHead[] = vault
        .list({ set })
        .filter(({ own }) => own)
        .map(({ name, sequence, digest, size }) => ({ name, sequence, digest, size, held: true, next: sequence + 1 }));
      const known = await readChainHead(state, set, identity).catch((thrown) => {
        // The newest in the vault serves as well. Without any, a sequence that begins anew would look like a rollback.
        if (heads.length > 0) return null;
        throw thrown;
      });
      if (known !== null) {
        const { facts, digest, signed } = known;
        const isOfFormerKey = provenEpoch(signed.certificate, identity) < certificate.epoch;
        const next = facts.sequence + (isOfFormerKey ? leftOut : 0) + 1;
        heads.unshift({ ...facts, digest, held: vault.find(facts.name) !== null, next });
      }
      return heads.reduce<ChainHead | null>(
        (best, head) => (best === null || head.sequence > best.sequence ? head : best),
        null,
      );
    },
    keepChainHead: (set, head) => writeChainHead(state, set, head),
  };
}
