import type { Config } from '../../mesh/config/config.js';
import { PeerServiceDefinition } from '../../mesh/generated/anemone/peer/v1/peer.js';
import { HealthDefinition } from '../../mesh/generated/grpc/health/v1/health.js';
import { ServerReflectionDefinition } from '../../mesh/generated/grpc/reflection/v1/reflection.js';
import type { Clock } from '../../mesh/terms/clock.js';
import type { Hostname } from '../../mesh/terms/hostname.js';
import { methodsOf, peerService } from '../../mesh/wire/methods.js';
import type { Vault } from '../vault/vault.js';
import { answersTo, takeCalls } from './answers.js';
import { type CallServer, callServer } from './call-server.js';
import { admission, type Demands } from './callers.js';
import type { Epochs } from './epochs.js';
import { fetchBackup } from './fetch-backup.js';
import { fetchLeaves } from './fetch-leaves.js';
import { getNode, type Self } from './get-node.js';
import { healthAnswers } from './health.js';
import { listBackups, readableBy } from './list-backups.js';
import { offerBackup } from './offer-backup.js';
import { proveBackup } from './prove-backup.js';
import { pushBackup } from './push-backup.js';
import { openReaders } from './readers.js';
import { readDescriptors, reflect } from './reflection.js';
import type { ThrottledLog } from './throttled-log.js';

export interface PeerServerOptions {
  readonly self: Self;
  readonly vault: Vault;
  /** The peers and the rules of this moment. */
  config(): Pick<Config, 'peers' | 'retention'>;
  readonly epochs: Epochs;
  /** A peer itself called, with the node key that it has now: it is awake. */
  seen(name: Hostname): void;
  readonly clock: Clock;
  readonly log: ThrottledLog;
}

const { serverReflectionInfo } = methodsOf(ServerReflectionDefinition);
/** What reflection names. */
const services = [PeerServiceDefinition, HealthDefinition, ServerReflectionDefinition].map(({ fullName }) => fullName);

/** Everything that a node answers to its peers, for {@link listen}. */
export async function peerServer(options: PeerServerOptions): Promise<CallServer> {
  const { self, vault, config, epochs, seen, clock, log } = options;
  const inTurn = openReaders();
  const who = (demands?: Demands) => admission(() => config().peers, epochs, seen, demands);
  const anyone = answersTo(who({ supersededToo: true }), clock);
  const reader = answersTo(who(), clock);
  const writer = answersTo(who({ writes: true }), clock);
  const descriptors = await readDescriptors();
  const take = takeCalls(
    [
      anyone.unary(peerService.getNode, (request, { caller }) =>
        getNode(self, vault, epochs, request, caller, config().retention),
      ),
      writer.unary(peerService.offerBackup, (request, { caller }) => offerBackup(vault, request, caller)),
      writer.clientStream(peerService.pushBackup, (requests, incoming) => pushBackup(vault, requests, incoming, clock)),
      reader.serverStream(peerService.listBackups, (filter, { caller }) =>
        listBackups(vault, filter, readableBy(caller), config().retention),
      ),
      reader.serverStream(peerService.fetchBackup, (request, incoming) =>
        inTurn(incoming, () => fetchBackup(vault, request, readableBy(incoming.caller))),
      ),
      reader.serverStream(peerService.fetchLeaves, (request, incoming) =>
        inTurn(incoming, () => fetchLeaves(vault, request, readableBy(incoming.caller))),
      ),
      reader.serverStream(peerService.proveBackup, (request, incoming) =>
        inTurn(incoming, () => proveBackup(vault, request, readableBy(incoming.caller))),
      ),
      ...healthAnswers(['', PeerServiceDefinition.fullName], clock),
      reader.bidiStream(serverReflectionInfo, (questions) => reflect(questions, descriptors, services)),
    ],
    clock,
    log,
  );
  return callServer(take);
}
