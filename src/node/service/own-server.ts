import { chmod, mkdir, rm } from 'node:fs/promises';
import { connect, createServer, type Server as Door, type Socket } from 'node:net';
import { dirname } from 'node:path';
import { PassThrough } from 'node:stream';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import { HealthImplementation } from 'grpc-health-check';
import type {
  GetStatusResponse,
  PushFileRequest,
  RunBackupRequest,
  RunEvent,
} from '../../mesh/generated/anemone/node/v1/node.js';
import type { Clock } from '../../mesh/terms/clock.js';
import { Failure } from '../../mesh/terms/failure.js';
import { nodeService } from '../../mesh/wire/methods.js';
import type { Vault } from '../vault/vault.js';
import { answersTo, takeCalls } from './answers.js';
import { openCrowd } from './crowd.js';
import { fetchBackup } from './fetch-backup.js';
import { closeDoor, withHttp2Server } from './http2-server.js';
import { listBackups } from './list-backups.js';
import type { PatientLog } from './patient-log.js';

type Emit = (event: RunEvent) => void;

/** What a node does for the client on the same machine. */
export interface Steward {
  /** Runs the nightly story; the last event is the report. */
  runBackup(request: RunBackupRequest, emit: Emit, signal: AbortSignal): Promise<void>;
  pushFile(request: PushFileRequest, emit: Emit, signal: AbortSignal): Promise<void>;
  status(): Promise<GetStatusResponse>;
  /** Follows the configuration file; returns what takes effect only after a restart. */
  reload(): Promise<readonly string[]>;
}

export interface OwnServer {
  close(graceMs: number): Promise<void>;
}

/**
 * Serves the own client over a unix socket. Who can open the socket is the server's user or root: there is nothing more
 * to prove.
 * @throws Failure `config` when another node serves the same socket
 */
export async function serveOwnClient(
  socket: string,
  steward: Steward,
  vault: Vault,
  clock: Clock,
  log: PatientLog,
): Promise<OwnServer> {
  const everything = (): boolean => true;
  const own = answersTo(() => null);
  const take = takeCalls(
    [
      own.serverStream(nodeService.runBackup, (request, { signal }) =>
        events((emit) => steward.runBackup(request, emit, signal)),
      ),
      own.serverStream(nodeService.pushFile, (request, { signal }) =>
        events((emit) => steward.pushFile(request, emit, signal)),
      ),
      own.unary(nodeService.getStatus, () => steward.status()),
      own.serverStream(nodeService.listBackups, (filter) => listBackups(vault, filter, everything)),
      own.serverStream(nodeService.fetchBackup, (request) => fetchBackup(vault, request, everything)),
      own.unary(nodeService.reload, async () => ({ needsRestart: [...(await steward.reload())] })),
    ],
    openCrowd(),
    log,
  );
  const grpc = new Server();
  new HealthImplementation({ '': 'SERVING' }).addToServer(grpc);
  const server = withHttp2Server(take, () => grpc.createConnectionInjector(ServerCredentials.createInsecure()));
  const connections = new Set<Socket>();
  const door = createServer((connection) => {
    connections.add(connection);
    // Whoever hangs up closes the connection, and its calls with it.
    connection.on('error', () => {}).once('close', () => connections.delete(connection));
    server.injectConnection(connection);
  });
  await claimSocket(socket);
  await bind(door, socket);
  return {
    async close(graceMs) {
      await closeDoor(door, server, connections, graceMs, clock);
      await rm(socket, { force: true });
    },
  };
}

/** The events of a run that calls back, as a stream that a call can send. */
async function* events(run: (emit: Emit) => Promise<void>): AsyncGenerator<{ event: RunEvent }> {
  const queue = new PassThrough({ objectMode: true });
  run((event) => queue.write({ event })).then(
    () => queue.end(),
    (thrown) => queue.destroy(Failure.from(thrown)),
  );
  yield* queue;
}

/**
 * Removes the socket that a killed node left behind, and refuses to take the one of a living node.
 * @throws Failure `config`
 */
export async function claimSocket(socket: string): Promise<void> {
  await mkdir(dirname(socket), { recursive: true, mode: 0o700 });
  const alive = await new Promise<boolean>((resolve) => {
    const probe = connect(socket, () => {
      probe.destroy();
      resolve(true);
    });
    probe.once('error', () => resolve(false));
  });
  if (alive) {
    throw new Failure('config', `another node is running: it serves ${socket}`, {
      hint: 'Stop it first; two nodes must not share a data folder.',
    });
  }
  await rm(socket, { force: true });
}

async function bind(door: Door, socket: string): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    door.once('error', (cause) => {
      reject(new Failure('config', `cannot listen on ${socket}: ${cause.message}`, { cause }));
    });
    door.listen(socket, () => {
      door.removeAllListeners('error');
      door.on('error', () => {});
      resolve();
    });
  });
  await chmod(socket, 0o600);
}
