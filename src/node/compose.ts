import { join } from 'node:path';
import type { Config } from '../mesh/config/config.js';
import type { Identity } from '../mesh/identity/identity.js';
import { loadServerIdentity } from '../mesh/identity/server-identity.js';
import { signReceipt } from '../mesh/manifest/receipt.js';
import { enabledPeers, knownPeers, ownerIdentity } from '../mesh/peers/configured-peers.js';
import { formatAddress } from '../mesh/terms/address.js';
import type { Clock } from '../mesh/terms/clock.js';
import type { Hostname } from '../mesh/terms/hostname.js';
import type { Log } from '../mesh/terms/log.js';
import { type Auditing, openAuditing } from './audit/auditing.js';
import type { Base } from './base.js';
import { followConfig } from './follow-config.js';
import { holdData } from './hold-data.js';
import { openReceipts } from './outbox/receipts.js';
import { answerOwnRequests } from './own-requests.js';
import { openHistory } from './report/history.js';
import { sweep } from './retention/sweep.js';
import { openChainHeads } from './run/chain-heads.js';
import { openFingerprints } from './run/fingerprints.js';
import { sealingOf } from './run/night-sets.js';
import { oneAtATime } from './run/one-at-a-time.js';
import { sourceWatch } from './run/source-watch.js';
import { timetableOf } from './schedule/scheduler.js';
import { openEpochs } from './service/epochs.js';
import { listen } from './service/listener.js';
import { serveOwnClient } from './service/own-server.js';
import { peerServer } from './service/peer-server.js';
import { openThrottledLog } from './service/throttled-log.js';
import { type Deliveries, startDeliveries } from './start-deliveries.js';
import { startScheduler } from './start-scheduler.js';
import { openVault } from './vault/vault.js';

export interface RunningNode {
  /** Reads the configuration again. @returns the keys that only a restart follows @throws Failure `config` */
  reload(): Promise<readonly string[]>;
  /** Takes no new call, interrupts its own transfers (what is durable stays), and ends. */
  stop(): Promise<void>;
}

/** Milliseconds that calls of peers may still take when the node stops; an upload goes on where it was. */
const grace = 10_000;

/**
 * Wires the concrete parts of a node together; the only file that knows them all, with those whose names begin with `start-`.
 * @param known the fingerprint of the configuration file from before it was read
 */
export async function startNode(
  config: Config,
  known: string | null,
  version: string,
  log: Log,
  clock: Clock,
): Promise<RunningNode> {
  const startedAt = clock.now();
  const { data, name: hostname, listen: address, socket } = config.server;
  const base: Base = { config, self: await loadServerIdentity(join(data, '.state')), log, clock };
  const letOthersIn = await holdData(config.server);
  const stores = await openStores(base);
  const deliveries = startDeliveries(base, stores);
  const auditing = await startAuditing(base, stores, deliveries);
  const night = makeNight(base, stores, deliveries, auditing);
  const { vault, epochs, history } = stores;
  const lastSeen = new Map<Hostname, number>();
  const seen = (name: Hostname): void => {
    lastSeen.set(name, clock.now());
    deliveries.outbox.kick(name);
  };
  const self = { hostname, version, now: () => clock.now() };
  const callLog = openThrottledLog(log, clock);
  const server = await peerServer({ self, vault, config: () => base.config, epochs, seen, clock, log: callLog });
  const trusted = (): Identity[] => enabledPeers(base.config).map(({ identity }) => identity);
  const listener = await listen({ self: base.self, address, trusted: trusted(), server, epochs, clock, log: callLog });
  // Not before: a node that cannot listen begins nothing.
  await deliveries.follow();
  const scheduler = await startScheduler(base, history, night);
  const following = followConfig(base, known, async () => {
    listener.trust(trusted());
    scheduler.follow(timetableOf(base.config));
    await deliveries.follow();
  });
  const stopping = new AbortController();
  const requests = answerOwnRequests(base, {
    following,
    version,
    startedAt,
    vault,
    deliveries,
    auditing,
    nightlyRun: night,
    history,
    scheduler,
    stopping: stopping.signal,
    lastSeen,
  });
  const ownServer = await serveOwnClient(socket, requests, vault, clock, callLog);
  log.info('node started', { version, server: hostname, listen: formatAddress(address), peers: config.peers.length });

  return {
    reload: following.reload,
    async stop() {
      stopping.abort();
      await following.stop();
      await scheduler.stop();
      await deliveries.stop();
      await Promise.all([listener.close(grace), ownServer.close(grace)]);
      await night.over();
      await epochs.settled();
      await vault.close().then(letOthersIn);
      callLog.close();
      log.info('node stopped');
    },
  };
}

type Stores = Awaited<ReturnType<typeof openStores>>;

/** Everything of the node that is on disk. */
async function openStores(base: Base) {
  const { self, log, clock } = base;
  const { data, name: host } = base.config.server;
  const vault = await openVault({
    data,
    host,
    clock,
    log,
    identityOf: (owner) => ownerIdentity(base.config, self.identity, owner),
    acknowledge: (manifestDigest, receivedAt) => signReceipt({ manifestDigest, receivedAt }, self.signer),
    quotaOf: (name) => base.config.peers.find((peer) => peer.name === name)?.quota ?? 0,
    minimumFree: () => base.config.limits.minimumFree,
  });
  const { state, runs } = vault.layout;
  const epochs = await openEpochs(join(state, 'epochs.json'), log);
  return {
    vault,
    epochs,
    receipts: openReceipts(join(state, 'receipts'), log, epochs.isSuperseded),
    fingerprints: openFingerprints(join(state, 'fingerprints')),
    history: openHistory(runs, { clock, setUpAt: self.certificate.epoch }),
    ownBackups: async () => vault.list().filter(({ own }) => own),
  };
}

function startAuditing(base: Base, stores: Stores, { outbox, connections }: Deliveries): Promise<Auditing> {
  const { self, config, clock, log } = base;
  const { vault, receipts, ownBackups } = stores;
  return openAuditing({
    host: config.server.name,
    identity: self.identity,
    clock,
    log,
    vault,
    receipts,
    ownBackups,
    owners: () => [{ name: config.server.name, identity: self.identity }, ...knownPeers(base.config)],
    nights: () => base.config.backup.schedule !== null,
    connections,
    kick: (peer) => outbox.kick(peer),
  });
}

/** The story of a night, with the configuration of its moment. */
function makeNight(base: Base, stores: Stores, { outbox }: Deliveries, auditing: Auditing) {
  const { vault, receipts, fingerprints, history, ownBackups } = stores;
  const { self, log, clock } = base;
  const heads = openChainHeads(vault, self, log);
  return oneAtATime({
    clock,
    log,
    owner: base.config.server.name,
    signer: self.signer,
    fingerprints,
    readSource: sourceWatch(clock),
    sealing: () => sealingOf(base.config, (reason) => log.warn('secret readable by others', { reason })),
    draft: () => vault.draft(),
    chainHeads: heads,
    isTaken: (name) => vault.find(name) !== null,
    async askPeers(signal) {
      const told = await auditing.ask(signal);
      const shown = told.flatMap(({ audit, newest }) => newest.map((manifest) => ({ peer: audit.peer, manifest })));
      return { lost: told.map(({ audit }) => audit), problems: await heads.goOnFrom(shown) };
    },
    outbox,
    auditing,
    history,
    async sweep() {
      const { retention: rules, backup } = base.config;
      const pruneReceipts = async () => {
        // Of what the node cannot read now, peers may well hold what they acknowledged.
        if (!vault.hasLock) await receipts.prune(new Set((await ownBackups()).map(({ name }) => name)));
      };
      const identityOf = (owner: Hostname) => ownerIdentity(base.config, self.identity, owner);
      const { isHalfway } = outbox;
      const { timezone } = backup;
      const swept = await sweep({ vault, rules, identityOf, clock, history, timezone, isHalfway, pruneReceipts });
      for (const { kind, message } of swept.failures) log.error('retention failed', { kind, reason: message });
      return swept;
    },
  });
}
