import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Config, PeerConfig } from '../../src/mesh/config/config.js';
import type { ServerIdentity } from '../../src/mesh/identity/server-identity.js';
import { signReceipt } from '../../src/mesh/manifest/receipt.js';
import { knownPeers } from '../../src/mesh/peers/configured-peers.js';
import { type Connection, connectTo } from '../../src/mesh/peers/connection.js';
import type { Address } from '../../src/mesh/terms/address.js';
import { type Clock, systemClock } from '../../src/mesh/terms/clock.js';
import { type Hostname, parseHostname } from '../../src/mesh/terms/hostname.js';
import { openEpochs } from '../../src/node/service/epochs.js';
import { type Listener, type ListenerOptions, listen } from '../../src/node/service/listener.js';
import { peerServer } from '../../src/node/service/peer-server.js';
import { openThrottledLog } from '../../src/node/service/throttled-log.js';
import { openVault, type Vault } from '../../src/node/vault/vault.js';
import { type Events, watchEvents } from './events.js';
import { throwawayServer } from './identities.js';

/** The answering half of a real node on 127.0.0.1: real TLS, real vault, real files. */
export interface PeerNode {
  readonly server: ServerIdentity;
  readonly name: Hostname;
  readonly address: Address;
  readonly data: string;
  readonly vault: Vault;
  readonly log: Events;
  /** Peers, each time that one was seen. */
  readonly seen: Hostname[];
  /** Changes the peers while it runs. */
  follow(peers: readonly PeerConfig[]): void;
  /** A connection to this node that shows the certificate of `caller`. It is closed with the node. */
  callAs(caller: ServerIdentity, expected?: ServerIdentity): Connection;
  stop(): Promise<void>;
}

export interface PeerNodeOptions {
  readonly name?: string;
  readonly peers?: readonly PeerConfig[];
  readonly minimumFree?: number;
  /** Told in lists. */
  readonly retention?: () => Config['retention'];
  /** Instead of one with a recovery key of its own. */
  readonly server?: ServerIdentity;
  /** Instead of the machine's. */
  readonly clock?: Clock;
}

export async function startPeerNode(options: PeerNodeOptions = {}): Promise<PeerNode> {
  const name = parseHostname(options.name ?? 'FR2');
  const server = options.server ?? throwawayServer(name);
  const data = await mkdtemp(join(tmpdir(), 'anemone-test-'));
  const log = watchEvents();
  const clock = options.clock ?? systemClock;
  let peers = options.peers ?? [];
  const vault = await openVault({
    data,
    host: name,
    clock,
    log,
    identityOf: (host) => peers.find((peer) => peer.name === host)?.identity ?? null,
    acknowledge: (manifestDigest, receivedAt) => signReceipt({ manifestDigest, receivedAt }, server.signer),
    quotaOf: (host) => peers.find((peer) => peer.name === host)?.quota ?? 0,
    minimumFree: () => options.minimumFree ?? 0,
  });
  const callLog = openThrottledLog(log, clock);
  const seen: Hostname[] = [];
  const epochs = await openEpochs(join(data, '.state', 'epochs.json'), log);
  const answers = await peerServer({
    self: { hostname: name, version: '0.0.0', now: () => clock.now() },
    vault,
    config: () => ({ peers, retention: options.retention?.() ?? keepDays(0, 7) }),
    epochs,
    seen: (peer) => void seen.push(peer),
    clock,
    log: callLog,
  });
  const listener = await listenSomewhere({
    self: server,
    trusted: identitiesOf(peers),
    server: answers,
    epochs,
    clock: systemClock,
    log: callLog,
  });
  const connections: Connection[] = [];
  return {
    server,
    name,
    address: listener.address,
    data,
    vault,
    log,
    seen,
    follow(changed) {
      peers = changed;
      listener.trust(identitiesOf(changed));
    },
    callAs(caller, expected = server) {
      const peer = { name, address: listener.address, identity: expected.identity };
      const connection = connectTo(peer, caller, systemClock);
      connections.push(connection);
      return connection;
    },
    async stop() {
      for (const connection of connections) connection.close();
      await listener.close(0);
      callLog.close();
      // It may be writing down what it holds.
      await vault.close();
      await rm(data, { recursive: true, force: true });
    },
  };
}

/** Rules that keep so many days, of own backups and of those of peers. */
export function keepDays(local: number, peers: number): Config['retention'] {
  const rules = (minimumDays: number) => ({ keepLast: 0, keepDaily: 0, keepWeekly: 0, keepMonthly: 0, minimumDays });
  return { local: rules(local), peers: rules(peers) };
}

/** An enabled peer, as the configuration of a test node names it. */
export function peerConfig(name: string, server: ServerIdentity, changes: Partial<PeerConfig> = {}): PeerConfig {
  return {
    name: parseHostname(name),
    address: { host: '127.0.0.1', port: 1 },
    identity: server.identity,
    enabled: true,
    quota: 0,
    reads: [],
    ...changes,
  };
}

function identitiesOf(peers: readonly PeerConfig[]) {
  return knownPeers({ peers }).map(({ identity }) => identity);
}

/** A free port is only known to be free by listening on it, so another one is tried when it is not. */
async function listenSomewhere(options: Omit<ListenerOptions, 'address'>): Promise<Listener> {
  for (let attempts = 20; ; attempts -= 1) {
    const address = { host: '127.0.0.1', port: 20_000 + (randomBytes(2).readUInt16BE() % 12_000) };
    try {
      return await listen({ ...options, address });
    } catch (error) {
      if (attempts === 0) throw error;
    }
  }
}
