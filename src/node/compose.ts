import { join } from 'node:path';
import { formatAddress } from '../mesh/config/address.js';
import type { Config, PeerConfig } from '../mesh/config/config.js';
import { loadConfig } from '../mesh/config/load.js';
import { type Identity, parseIdentity } from '../mesh/identity/identity.js';
import { loadServerIdentity } from '../mesh/identity/server-identity.js';
import { signReceipt } from '../mesh/manifest/receipt.js';
import type { Connection } from '../mesh/peers/connection.js';
import type { Peer } from '../mesh/peers/peer.js';
import { openPool } from '../mesh/peers/pool.js';
import type { Clock } from '../mesh/terms/clock.js';
import { Failure } from '../mesh/terms/failure.js';
import type { Hostname } from '../mesh/terms/hostname.js';
import type { Log } from '../mesh/terms/log.js';
import { followFile } from './follow-file.js';
import type { OutboxPeer } from './outbox/lane.js';
import { startOutbox } from './outbox/outbox.js';
import { peerRecipient } from './outbox/peer-recipient.js';
import { rateLimit } from './outbox/rate-limit.js';
import { openReceipts } from './outbox/receipts.js';
import { lastSuccess, openHistory } from './report/history.js';
import { sweep } from './retention/sweep.js';
import { chainHeads } from './schedule/chain-heads.js';
import { openFingerprints } from './schedule/fingerprints.js';
import { sealingOf, setsOf } from './schedule/night-sets.js';
import { nightlyRun } from './schedule/nightly-run.js';
import { Scheduler } from './schedule/scheduler.js';
import { openEpochs } from './service/epochs.js';
import { listen } from './service/listener.js';
import { claimSocket, serveOwnClient } from './service/own-server.js';
import { peerServer } from './service/peer-server.js';
import { makeSteward } from './steward.js';
import { openVault } from './vault/vault.js';

export interface RunningNode {
  /** Takes no new call, interrupts its own transfers (what is durable stays), and ends. */
  stop(): Promise<void>;
}

/** Milliseconds that calls of peers may still take when the node stops; an upload goes on where it was. */
const grace = 10_000;
/** Milliseconds without a byte after which a delivery is given up for now. */
const deliveryPatience = 60_000;

/** Wires the concrete parts of a node together; the only file that knows them all. */
export async function startNode(initial: Config, version: string, log: Log, clock: Clock): Promise<RunningNode> {
  const startedAt = clock.now();
  let config = initial;
  const { data, name: host, socket } = config.server;
  const state = join(data, '.state');
  const self = await loadServerIdentity(state);
  await claimSocket(socket);

  const vault = await openVault({
    data,
    host,
    clock,
    log,
    identityOf: (name) => (name === host ? self.identity : identityOf(config, name)),
    acknowledge: (manifestDigest, receivedAt) => signReceipt({ manifestDigest, receivedAt }, self.signer),
    quotaOf: (name) => config.peers.find((peer) => peer.name === name)?.quota ?? 0,
    minimumFree: config.limits.minimumFree,
  });
  const epochs = await openEpochs(join(state, 'epochs.json'), log);
  const receipts = openReceipts(join(state, 'receipts'), log);
  const history = openHistory(vault.layout.runs);
  const limit = rateLimit(clock, config.limits.upload);
  const pool = openPool(self, clock);

  const recipients = new Map<Connection, OutboxPeer>();
  const outboxPeers = (): OutboxPeer[] =>
    pool.follow(trusted(config)).map((connection) => {
      const { name, identity } = connection.peer;
      const recipient = () => peerRecipient(connection, vault, self.identity, limit);
      const known = recipients.get(connection) ?? { name, identity, recipient: recipient() };
      recipients.set(connection, known);
      return known;
    });
  const ownBackups = async () => vault.list().filter(({ own }) => own);
  const outbox = startOutbox(outboxPeers(), { clock, log, receipts, ownBackups, patience: deliveryPatience });

  const sweepVault = async () => {
    const isPeer = (owner: Hostname): boolean => config.peers.some(({ name }) => name === owner);
    const { timezone } = config.backup;
    const { removed, failures } = await sweep({ vault, rules: config.retention, isPeer, clock, timezone });
    await receipts.prune(new Set((await ownBackups()).map(({ name }) => name)));
    for (const { kind, message } of failures) log.error('retention failed', { kind, reason: message });
    if (failures[0] !== undefined) throw failures[0];
    return removed;
  };
  const night = nightlyRun({
    clock,
    log,
    owner: host,
    signer: self.signer,
    fingerprints: openFingerprints(join(state, 'fingerprints')),
    sealing: () => sealingOf(config, (message) => log.warn('secret readable by others', { reason: message })),
    draft: () => vault.draft(),
    chainHead: chainHeads(vault, self.identity),
    isTaken: (name) => vault.find(name) !== null,
    peersWithout: (name) => outbox.peersWithout(name),
    deliverAll: (emit, signal) => outbox.deliverNow(emit, signal),
    sweep: sweepVault,
    record: (report) => history.append(report),
  });
  const timetable = () => ({ hostname: host, ...config.backup });
  const scheduler = new Scheduler({
    clock,
    log,
    timetable: timetable(),
    lastSuccess: lastSuccess(
      await history.reports(),
      config.backup.sets.map(({ name }) => name),
    ),
    run: (trigger, signal) => night.run({ trigger, sets: setsOf(config, ''), force: false }, () => {}, signal),
  });

  const lastSeen = new Map<Hostname, number>();
  const server = await peerServer({
    self: { hostname: host, version, now: () => clock.now() },
    vault,
    peers: () => config.peers,
    epochs,
    seen(name) {
      lastSeen.set(name, clock.now());
      outbox.kick(name);
    },
    clock,
    log,
  });
  const identities = () => trusted(config).map(({ identity }) => identity);
  const listener = await listen({ self, address: config.server.listen, trusted: identities(), server, log });

  const reload = async (): Promise<readonly string[]> => {
    const loaded = await loadConfig(config.file);
    for (const hint of loaded.hints) log.warn('configuration', { hint });
    const needsRestart = restartKeys(config, loaded.config);
    config = { ...loaded.config, server: config.server };
    listener.trust(identities());
    limit.set(config.limits.upload);
    scheduler.follow(timetable());
    await outbox.follow(outboxPeers());
    for (const connection of recipients.keys()) if (!isCurrent(connection, config)) recipients.delete(connection);
    log.info('configuration read again', { peers: identities().length, needsRestart: needsRestart.join(', ') });
    return needsRestart;
  };
  const stopFollowing = followFile(config.file, clock, async () => {
    await reload().catch((thrown) => log.error('configuration not followed', { reason: Failure.from(thrown).message }));
  });
  const steward = makeSteward({
    config: () => config,
    reload,
    version,
    startedAt,
    vault,
    outbox,
    nightlyRun: night,
    history,
    scheduler,
    lastSeen: (name) => lastSeen.get(name) ?? 0,
  });
  const ownServer = await serveOwnClient(socket, steward, vault, log);
  log.info('node started', {
    version,
    server: host,
    listen: formatAddress(config.server.listen),
    peers: identities().length,
  });

  return {
    async stop() {
      stopFollowing();
      await scheduler.stop();
      await outbox.stop();
      await Promise.all([listener.close(grace), ownServer.close(grace)]);
      pool.close();
      log.info('node stopped');
    },
  };
}

/** The peers that are called and let in. */
function trusted({ peers }: Config): Peer[] {
  return peers.filter(({ enabled }) => enabled).map((peer) => ({ ...peer, identity: parseIdentity(peer.identity) }));
}

function identityOf(config: Config, name: Hostname): Identity | null {
  const peer: PeerConfig | undefined = config.peers.find((candidate) => candidate.name === name);
  return peer === undefined || peer.identity === '' ? null : parseIdentity(peer.identity);
}

function isCurrent(connection: Connection, config: Config): boolean {
  return config.peers.some(
    ({ name, identity }) => name === connection.peer.name && identity === connection.peer.identity,
  );
}

/** What a running node does not follow: where it listens, who it is, and where it keeps its files. */
function restartKeys(before: Config, after: Config): string[] {
  const keys = ['name', 'listen', 'data', 'logs', 'socket'] as const;
  const changed = keys
    .filter((key) => JSON.stringify(before.server[key]) !== JSON.stringify(after.server[key]))
    .map((key) => `server.${key}`);
  return before.limits.minimumFree === after.limits.minimumFree ? changed : [...changed, 'limits.minimum_free'];
}
