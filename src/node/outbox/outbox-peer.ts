import type { Identity } from '../../mesh/identity/identity.js';
import { readManifest } from '../../mesh/manifest/manifest.js';
import type { Connection } from '../../mesh/peers/connection.js';
import { pushBackup } from '../../mesh/peers/push-backup.js';
import type { Bytes } from '../../mesh/terms/bytes.js';
import type { Vault } from '../vault/vault.js';
import type { OutboxPeer } from './deliver.js';
import type { RateLimit } from './rate-limit.js';

/** A peer over its connection: what it is given is read from the own vault, at the rate that all peers share. */
export function outboxPeer(connection: Connection, vault: Vault, self: Identity, limit: RateLimit): OutboxPeer {
  const { name, identity } = connection.peer;
  return {
    name,
    identity,
    async push(backup, { progress, signal }) {
      const { manifest } = await vault.held(backup.name);
      async function* read(offset: number, length: number): Bytes & AsyncGenerator<Uint8Array> {
        for await (const chunk of vault.read(backup.name, offset, length)) {
          for (let start = 0; start < chunk.length; ) {
            const piece = chunk.subarray(start, start + limit.piece());
            await limit.take(name, piece.length, signal);
            yield piece;
            start += piece.length;
          }
        }
      }
      // The vault has proven its signature.
      const facts = readManifest(manifest, self);
      return pushBackup(connection, { signed: manifest, ...facts }, { read, progress, signal });
    },
  };
}
