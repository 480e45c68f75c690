import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { loadConfig } from '../../../src/mesh/config/load.js';
import { parseIdentity } from '../../../src/mesh/identity/identity.js';
import { deriveKeys, generateRecoveryKey } from '../../../src/mesh/identity/recovery-key.js';
import { loadServerIdentity, makeServerIdentity } from '../../../src/mesh/identity/server-identity.js';
import { signManifest, type VerifiedManifest, verifyManifest } from '../../../src/mesh/manifest/manifest.js';
import { signReceipt } from '../../../src/mesh/manifest/receipt.js';
import { systemClock } from '../../../src/mesh/terms/clock.js';
import { parseHostname } from '../../../src/mesh/terms/hostname.js';
import { openEpochs } from '../../../src/node/service/epochs.js';
import { listen } from '../../../src/node/service/listener.js';
import { peerServer } from '../../../src/node/service/peer-server.js';
import { openThrottledLog } from '../../../src/node/service/throttled-log.js';
import { entryOf, type Sidecar } from '../../../src/node/vault/held-entry.js';
import type { Vault } from '../../../src/node/vault/vault.js';
import { silent } from '../../support/events.js';
import { factsAbout, nthOf, writeRandom } from './plant.js';

export interface MemoryPeers {
  /** Of the server whose backups they hold. */
  readonly config: string;
  readonly folder: string;
  readonly firstPort: number;
  readonly peers: number;
  /** That each of them holds: the same ones. */
  readonly backups: number;
}

export const memoryTasks = {
  /**
   * Many peers in one process, with the real listener and the real handlers over a vault in memory: fifty machines would
   * not share one disk either. @returns what the server has to write into its configuration
   */
  async memoryPeers(wanted: MemoryPeers): Promise<{ name: string; port: number; identity: string }[]> {
    const { server, retention } = (await loadConfig(wanted.config)).config;
    const owner = await loadServerIdentity(join(server.data, '.state'));
    const source = join(wanted.folder, 'one-backup');
    await writeRandom(source, 1000);
    const first = await factsAbout(owner, { ...wanted, owner: server.name, set: 'backup', source, count: 0 });
    await rm(source);
    const manifests: VerifiedManifest[] = [];
    for (let index = 0; index < wanted.backups; index += 1) {
      const facts = { ...nthOf(first, index), previous: manifests.at(-1)?.digest ?? Buffer.alloc(0) };
      manifests.push(verifyManifest(signManifest(facts, owner.signer), owner.identity));
    }
    const caller = {
      name: parseHostname(server.name),
      address: { host: '127.0.0.1', port: 1 },
      identity: owner.identity,
      enabled: true,
      quota: 0,
      reads: [],
    };
    const made = [];
    for (let index = 0; index < wanted.peers; index += 1) {
      const name = parseHostname(`P${index}`);
      const self = makeServerIdentity(deriveKeys(generateRecoveryKey()), name, 1_700_000_000_000);
      const held = new Map<string, Sidecar>(
        manifests.map(({ facts, signed, digest }) => [
          facts.name,
          {
            manifest: signed,
            receipt: signReceipt({ manifestDigest: digest, receivedAt: facts.createdAtMs }, self.signer),
          },
        ]),
      );
      const entries = manifests.map((manifest) => entryOf(manifest, manifest.facts.createdAtMs)).reverse();
      const vault: Partial<Vault> = {
        list: () => entries,
        held: async (each) => held.get(each) as Sidecar,
        proven: async () => {},
      };
      const callLog = openThrottledLog(silent, systemClock);
      const epochs = await openEpochs(join(wanted.folder, `epochs-${index}.json`), silent);
      const grpc = await peerServer({
        self: { hostname: name, version: '0.0.0', now: () => systemClock.now() },
        vault: vault as Vault,
        config: () => ({ peers: [caller], retention }),
        epochs,
        seen: () => {},
        clock: systemClock,
        log: callLog,
      });
      const address = { host: '127.0.0.1', port: wanted.firstPort + index };
      const trusted = [parseIdentity(owner.identity)];
      await listen({ self, address, trusted, server: grpc, epochs, clock: systemClock, log: callLog });
      made.push({ name, port: address.port, identity: self.identity });
    }
    return made;
  },
};
