import type { Identity } from '../../mesh/identity/identity.js';
import { readManifest } from '../../mesh/manifest/manifest.js';
import type { Connection } from '../../mesh/peers/connection.js';
import { pushBackup } from '../../mesh/peers/push-backup.js';
import type { LentBytes } from '../../mesh/terms/bytes.js';
import type { Vault } from '../vault/vault.js';
import type { OutboxPeer } from './deliver.js';
import type { RateLimit } from './rate-limit.js';

/**
 * Milliseconds that a chunk may take. At first and after a slower one the peer is sent little at a time, each of which is progress,
 * and twice as much after each other one: many peers may share a thin uplink.
 */
const slow = 5_000;
/** Bytes; what is no more in a minute is given up, on either side. */
const little = 64 * 1024;

/** A peer over its connection: what it is given is read from the own vault, at the rate that all peers share. */
export function outboxPeer(connection: Connection, vault: Vault, self: Identity, limit: RateLimit): OutboxPeer {
  const { name, identity } = connection.peer;
  const { clock } = connection.control;
  let most = little;
  return {
    name,
    identity,
    async push(backup, { progress, waitHere, signal }) {
      const { manifest } = await vault.held(backup.name);
      async function* read(
        offset: number,
        length: number,
        wanted: AbortSignal,
      ): LentBytes & AsyncGenerator<Uint8Array> {
        let place = await waitHere(limit.place(name, wanted));
        const leave = (): void => place.leave();
        // Also while this disk gives nothing of what was asked for: others wait for the place.
        wanted.addEventListener('abort', leave, { once: true });
        const turn = (bytes: number): Promise<void> =>
          waitHere(limit.take(name, bytes, AbortSignal.any([wanted, place.over])));
        // A range brings something in any case: without a byte it would be begun in vain.
        const firstTurn = async (bytes: number): Promise<void> => {
          for (;;) {
            try {
              return await turn(bytes);
            } catch (thrown) {
              if (thrown !== place.over.reason) throw thrown;
            }
            leave();
            place = await waitHere(limit.place(name, wanted));
          }
        };
        let isBegun = false;
        try {
          for await (const chunk of vault.read(backup.name, offset, length)) {
            for (let start = 0; start < chunk.length; ) {
              const piece = chunk.subarray(start, start + Math.min(most, limit.piece()));
              await (isBegun ? turn(piece.length) : firstTurn(piece.length));
              const begun = clock.monotonic();
              isBegun = true;
              try {
                yield piece;
              } finally {
                // Also when it was given up: the next try goes on in smaller steps.
                most = clock.monotonic() - begun > slow ? little : 2 * most;
              }
              start += piece.length;
            }
          }
        } catch (thrown) {
          // What is left of the range is sent when there is a place for it again.
          if (thrown !== place.over.reason) throw thrown;
        } finally {
          wanted.removeEventListener('abort', leave);
          leave();
        }
      }
      // The vault has proven its signature.
      const facts = readManifest(manifest, self);
      return pushBackup(connection, { signed: manifest, ...facts }, { read, progress, signal });
    },
  };
}
