import { Server, ServerCredentials } from '@grpc/grpc-js';
import { HealthImplementation } from 'grpc-health-check';
import type { PeerConfig } from '../../mesh/config/config.js';
import { PeerServiceService } from '../../mesh/generated/anemone/peer/v1/peer.js';
import { ServerReflectionService } from '../../mesh/generated/grpc/reflection/v1/reflection.js';
import type { Clock } from '../../mesh/terms/clock.js';
import type { Hostname } from '../../mesh/terms/hostname.js';
import { fetchBackupMethod, pushBackupMethod } from '../../mesh/wire/bulk-methods.js';
import { withHttp2Server } from '../../mesh/wire/http2-server.js';
import { longestMessage } from '../../mesh/wire/limits.js';
import type { Vault } from '../vault/vault.js';
import { bulkAnswer, bulkCalls } from './bulk-calls.js';
import { admission, type Demands } from './callers.js';
import { crowdControl, openCrowd } from './crowd.js';
import type { Epochs } from './epochs.js';
import { fetchBackup } from './fetch-backup.js';
import { fetchLeaves } from './fetch-leaves.js';
import { getNode, type Self } from './get-node.js';
import { handlersFor } from './handlers.js';
import { listBackups, readableBy } from './list-backups.js';
import { offerBackup } from './offer-backup.js';
import type { PatientLog } from './patient-log.js';
import { proveBackup } from './prove-backup.js';
import { pushBackup } from './push-backup.js';
import { readDescriptors, reflection } from './reflection.js';

export interface PeerServerOptions {
  readonly self: Self;
  readonly vault: Vault;
  /** The peers of this moment. */
  peers(): readonly PeerConfig[];
  readonly epochs: Epochs;
  /** A peer called: it is awake. */
  seen(name: Hostname): void;
  readonly clock: Clock;
  readonly log: PatientLog;
}

const serviceName = 'anemone.peer.v1.PeerService';
const services = [serviceName, 'grpc.health.v1.Health', 'grpc.reflection.v1.ServerReflection'];

/** Answers what comes over the connections that it is given. */
export type PeerServer = ReturnType<Server['createConnectionInjector']>;

/** Everything that a node answers to its peers, for {@link listen}. */
export async function peerServer(options: PeerServerOptions): Promise<PeerServer> {
  const { self, vault, peers, epochs, seen, clock, log } = options;
  const crowd = openCrowd();
  const grpc = new Server({
    'grpc.keepalive_time_ms': 30_000,
    'grpc.keepalive_timeout_ms': 60_000,
    'grpc.max_concurrent_streams': 64,
    'grpc.max_receive_message_length': longestMessage,
    interceptors: [crowdControl(crowd)],
  });
  const who = (demands?: Demands) => admission(peers, epochs, seen, demands);
  const anyone = handlersFor(who({ supersededToo: true }), log);
  const reader = handlersFor(who(), log);
  const writer = handlersFor(who({ writes: true }), log);
  const { pushBackup: _push, fetchBackup: _fetch, ...others } = PeerServiceService;
  grpc.addService(others, {
    getNode: anyone.unary((_request, { caller }) => getNode(self, vault, caller)),
    offerBackup: writer.unary((request, { caller }) => offerBackup(vault, request, caller)),
    listBackups: reader.serverStream((filter, { caller }) => listBackups(vault, filter, readableBy(caller))),
    fetchLeaves: reader.serverStream((request, { caller }) => fetchLeaves(vault, request, readableBy(caller))),
    proveBackup: reader.serverStream((request, { caller }) => proveBackup(vault, request, readableBy(caller))),
  });
  new HealthImplementation({ '': 'SERVING', [serviceName]: 'SERVING' }).addToServer(grpc);
  const serverReflectionInfo = reflection(await readDescriptors(), services, who());
  grpc.addService(ServerReflectionService, { serverReflectionInfo });
  const push = bulkAnswer(pushBackupMethod, who({ writes: true }), async function* (requests, incoming) {
    yield await pushBackup(vault, requests, incoming, clock);
  });
  const fetch = bulkAnswer(fetchBackupMethod, who(), async function* (requests, { caller }) {
    for await (const [request] of requests)
      if (request !== undefined) return yield* fetchBackup(vault, request, readableBy(caller));
  });
  const take = bulkCalls([push, fetch], crowd, log);
  return withHttp2Server(take, () => grpc.createConnectionInjector(ServerCredentials.createInsecure()));
}
