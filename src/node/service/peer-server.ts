import { Server } from '@grpc/grpc-js';
import { HealthImplementation } from 'grpc-health-check';
import type { PeerConfig } from '../../mesh/config/config.js';
import { ServerReflectionService } from '../../mesh/generated/grpc/reflection/v1/reflection.js';
import type { Clock } from '../../mesh/terms/clock.js';
import type { Hostname } from '../../mesh/terms/hostname.js';
import { longestChunk, peerService } from '../../mesh/wire/chunks.js';
import type { Vault } from '../vault/vault.js';
import { admission, type Demands } from './callers.js';
import { crowdControl } from './crowd.js';
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

/** Everything that a node answers to its peers. It listens nowhere yet: see {@link listen}. */
export async function peerServer({ self, vault, peers, epochs, seen, clock, log }: PeerServerOptions): Promise<Server> {
  const server = new Server({
    'grpc.keepalive_time_ms': 30_000,
    'grpc.keepalive_timeout_ms': 60_000,
    'grpc.max_concurrent_streams': 64,
    'grpc.max_receive_message_length': longestChunk + 2 ** 16,
    interceptors: [crowdControl()],
  });
  const who = (demands?: Demands) => admission(peers, epochs, seen, demands);
  const anyone = handlersFor(who({ supersededToo: true }), log);
  const reader = handlersFor(who(), log);
  const writer = handlersFor(who({ writes: true }), log);
  server.addService(peerService, {
    getNode: anyone.unary((_request, { caller }) => getNode(self, vault, caller)),
    offerBackup: writer.unary((request, { caller }) => offerBackup(vault, request, caller)),
    pushBackup: writer.clientStream((requests, incoming) => pushBackup(vault, requests, incoming, clock)),
    listBackups: reader.serverStream((filter, { caller }) => listBackups(vault, filter, readableBy(caller))),
    fetchBackup: reader.serverStream((request, { caller }) => fetchBackup(vault, request, readableBy(caller))),
    fetchLeaves: reader.serverStream((request, { caller }) => fetchLeaves(vault, request, readableBy(caller))),
    proveBackup: reader.serverStream((request, { caller }) => proveBackup(vault, request, readableBy(caller))),
  });
  new HealthImplementation({ '': 'SERVING', [serviceName]: 'SERVING' }).addToServer(server);
  const serverReflectionInfo = reflection(await readDescriptors(), services, who());
  server.addService(ServerReflectionService, { serverReflectionInfo });
  return server;
}
