import { randomInt } from 'node:crypto';
import { join } from 'node:path';
import { loadConfig } from '../../../src/mesh/config/load.js';
import { loadServerIdentity, type ServerIdentity } from '../../../src/mesh/identity/server-identity.js';
import { verifyManifest } from '../../../src/mesh/manifest/manifest.js';
import { enabledPeers } from '../../../src/mesh/peers/configured-peers.js';
import { type Connection, connectTo } from '../../../src/mesh/peers/connection.js';
import { getNode } from '../../../src/mesh/peers/get-node.js';
import { listBackups } from '../../../src/mesh/peers/list-backups.js';
import { systemClock } from '../../../src/mesh/terms/clock.js';
import { auditedPeer } from '../../../src/node/audit/audited-peer.js';
import { challenge } from '../../../src/node/audit/challenge.js';
import { deliver } from '../../../src/node/outbox/deliver.js';
import { outboxPeer } from '../../../src/node/outbox/outbox-peer.js';
import { type RateLimit, rateLimit } from '../../../src/node/outbox/rate-limit.js';
import { openReceipts, type Receipts } from '../../../src/node/outbox/receipts.js';
import { openVault, type Vault } from '../../../src/node/vault/vault.js';
import { silent } from '../../support/events.js';
import { plant, writeRandom } from './plant.js';

/** The delivering half of a node: its vault and its outgoing calls, without a night around them. */
interface Sender {
  readonly self: ServerIdentity;
  readonly vault: Vault;
  readonly receipts: Receipts;
  readonly limit: RateLimit;
  readonly connections: ReadonlyMap<string, Connection>;
}

/** Bytes a second that may be sent; 0 for no limit. */
let allowed = 0;
let opened: Sender | null = null;

function sender(): Sender {
  if (opened === null) throw new Error('openSender comes first');
  return opened;
}

function connectionTo(name: string): Connection {
  const connection = sender().connections.get(name);
  if (connection === undefined) throw new Error(`no peer is called ${name}`);
  return connection;
}

export interface Pushing {
  readonly names: readonly string[];
  /** Hostnames of the peers, served at the same time. */
  readonly to: readonly string[];
}

export const senderTasks = {
  /** Puts backups of the server of a configuration into the vault of `holder`; without one, into its own. */
  async plantBackups(work: {
    readonly config: string;
    readonly holder?: string;
    readonly source: string;
    /** Bytes of each. */
    readonly size: number;
    readonly set: string;
    readonly count: number;
  }): Promise<string[]> {
    const { server } = (await loadConfig(work.config)).config;
    await writeRandom(work.source, work.size);
    const owner = await loadServerIdentity(join(server.data, '.state'));
    const planting = { ...work, owner: server.name };
    if (work.holder === undefined) return plant(owner, { ...planting, folder: join(server.data, 'local') });
    const { data } = (await loadConfig(work.holder)).config.server;
    const holder = await loadServerIdentity(join(data, '.state'));
    return plant(owner, { ...planting, folder: join(data, server.name) }, holder);
  },

  async openSender({ config: file }: { readonly config: string }): Promise<null> {
    const { config } = await loadConfig(file);
    const { data, name: host } = config.server;
    const self = await loadServerIdentity(join(data, '.state'));
    const vault = await openVault({
      data,
      host,
      clock: systemClock,
      log: silent,
      identityOf: () => self.identity,
      acknowledge: () => {
        throw new Error('this half gives no receipts');
      },
      quotaOf: () => 0,
      minimumFree: () => 0,
    });
    const connections = enabledPeers(config).map((peer) => [peer.name, connectTo(peer, self, systemClock)] as const);
    opened = {
      self,
      vault,
      receipts: openReceipts(join(vault.layout.state, 'receipts'), silent, () => false),
      limit: rateLimit(systemClock, () => allowed),
      connections: new Map(connections),
    };
    return null;
  },

  /** Delivers backups as the outbox does, each until its receipt is kept. @returns bytes sent to each peer */
  async push({ names, to }: Pushing): Promise<Record<string, number>> {
    const { vault, receipts, self, limit } = sender();
    const wanted = new Set(names);
    const backups = vault.list().filter(({ name }) => wanted.has(name));
    const sent: Record<string, number> = {};
    await Promise.all(
      to.map(async (name) => {
        const connection = connectionTo(name);
        const { failure } = await deliver(backups, {
          clock: systemClock,
          peer: outboxPeer(connection, vault, self.identity, limit),
          receipts,
          signal: new AbortController().signal,
          ownBackups: async () => backups,
          isOverdue: () => false,
          progress: () => {},
          failed: () => {},
          delivered: (backup) => {
            sent[name] = (sent[name] ?? 0) + backup.size;
          },
        });
        if (failure !== undefined) throw failure;
      }),
    );
    return sent;
  },

  /** Has a peer prove that it holds a backup. @returns what it took, and the bytes that came */
  async proveHeld(work: { readonly name: string; readonly to: string; readonly samples: number }) {
    const { vault, self } = sender();
    const { manifest } = await vault.held(work.name);
    if (manifest === undefined) throw new Error(`${work.name} has no manifest`);
    let bytes = 0;
    const before = performance.now();
    await challenge(auditedPeer(connectionTo(work.to)), verifyManifest(manifest, self.identity), {
      samples: work.samples,
      draw: randomInt,
      signal: new AbortController().signal,
      received: (more) => {
        bytes += more;
      },
    });
    return { seconds: (performance.now() - before) / 1000, bytes };
  },

  /** @param bytesPerSecond 0 for no limit */
  async limitUploads({ bytesPerSecond }: { readonly bytesPerSecond: number }): Promise<null> {
    allowed = bytesPerSecond;
    return null;
  },

  /** Milliseconds of each small call to a peer, one after the other. */
  async smallCalls({ to, count }: { readonly to: string; readonly count: number }): Promise<number[]> {
    const connection = connectionTo(to);
    const took: number[] = [];
    for (let index = 0; index < count; index += 1) {
      const before = performance.now();
      if (index % 2 === 0) await getNode(connection);
      else await listBackups(connection, { owner: '', set: '' });
      took.push(performance.now() - before);
      await systemClock.sleep(20);
    }
    return took;
  },

  /** Milliseconds until each page of a listing has come. */
  async listPages({ to }: { readonly to: string }): Promise<number[]> {
    const connection = connectionTo(to);
    const { callServerStream } = await import('../../../src/mesh/wire/calls.js');
    const { peerService } = await import('../../../src/mesh/wire/methods.js');
    const took: number[] = [];
    let before = performance.now();
    const filter = { owner: '', set: '', brief: false, manifestDigests: [] };
    for await (const _ of callServerStream(connection.control, peerService.listBackups, filter)) {
      took.push(performance.now() - before);
      before = performance.now();
    }
    return took;
  },
};
