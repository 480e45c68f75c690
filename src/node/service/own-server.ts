import { chmod, mkdir, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { dirname } from 'node:path';
import { PassThrough } from 'node:stream';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import { HealthImplementation } from 'grpc-health-check';
import {
  type GetStatusResponse,
  NodeServiceService,
  type PushFileRequest,
  type RunBackupRequest,
  type RunEvent,
} from '../../mesh/generated/anemone/node/v1/node.js';
import { Failure } from '../../mesh/terms/failure.js';
import type { Vault } from '../vault/vault.js';
import { fetchBackup } from './fetch-backup.js';
import { handlersFor } from './handlers.js';
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
  log: PatientLog,
): Promise<OwnServer> {
  const server = new Server();
  const { unary, serverStream } = handlersFor(() => null, log);
  const everything = (): boolean => true;
  server.addService(NodeServiceService, {
    runBackup: serverStream((request, { signal }) => events((emit) => steward.runBackup(request, emit, signal))),
    pushFile: serverStream((request, { signal }) => events((emit) => steward.pushFile(request, emit, signal))),
    getStatus: unary(() => steward.status()),
    listBackups: serverStream((filter) => listBackups(vault, filter, everything)),
    fetchBackup: serverStream((request) => fetchBackup(vault, request, everything)),
    reload: unary(async () => ({ needsRestart: [...(await steward.reload())] })),
  });
  new HealthImplementation({ '': 'SERVING' }).addToServer(server);
  await claimSocket(socket);
  await bind(server, socket);
  return {
    async close(graceMs) {
      const closed = new Promise<void>((resolve) => server.tryShutdown(() => resolve()));
      server.drain(`unix:${socket}`, graceMs);
      await closed;
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

async function bind(server: Server, socket: string): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.bindAsync(`unix:${socket}`, ServerCredentials.createInsecure(), (cause) => {
      if (cause === null) resolve();
      else reject(new Failure('config', `cannot listen on ${socket}: ${cause.message}`, { cause }));
    });
  });
  await chmod(socket, 0o600);
}
