import { chmod, rm } from 'node:fs/promises';
import { connect, createServer, type Server as Door } from 'node:net';
import { dirname } from 'node:path';
import { PassThrough } from 'node:stream';
import type { Config } from '../../mesh/config/config.js';
import { makeFolders } from '../../mesh/files/make-folders.js';
import { statsIfThere } from '../../mesh/files/stats-if-there.js';
import type {
  GetStatusResponse,
  PushFileRequest,
  RunBackupRequest,
  RunEvent,
} from '../../mesh/generated/anemone/node/v1/node.js';
import type { Clock } from '../../mesh/terms/clock.js';
import { Failure } from '../../mesh/terms/failure.js';
import { nodeService, peerService } from '../../mesh/wire/methods.js';
import type { Vault } from '../vault/vault.js';
import { answersTo, takeCalls } from './answers.js';
import { callServer } from './call-server.js';
import { closeDoor, openDoor } from './door.js';
import { fetchBackup } from './fetch-backup.js';
import { fetchLeaves } from './fetch-leaves.js';
import { healthAnswers } from './health.js';
import { listBackups } from './list-backups.js';
import type { ThrottledLog } from './throttled-log.js';

type Emit = (event: RunEvent) => void;

/** What a node does for the client on the same machine. */
export interface OwnRequests {
  /** Runs the nightly story; the last event is the report. */
  runBackup(request: RunBackupRequest, emit: Emit, signal: AbortSignal): Promise<void>;
  pushFile(request: PushFileRequest, emit: Emit, signal: AbortSignal): Promise<void>;
  status(): Promise<GetStatusResponse>;
  /** The rules of this moment. */
  retention(): Config['retention'];
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
  requests: OwnRequests,
  vault: Vault,
  clock: Clock,
  log: ThrottledLog,
): Promise<OwnServer> {
  const everything = (): boolean => true;
  const own = answersTo(() => null, clock);
  const take = takeCalls(
    [
      own.serverStream(nodeService.runBackup, (request, { signal }) =>
        events((emit) => requests.runBackup(request, emit, signal)),
      ),
      own.serverStream(nodeService.pushFile, (request, { signal }) =>
        events((emit) => requests.pushFile(request, emit, signal)),
      ),
      own.unary(nodeService.getStatus, () => requests.status()),
      own.serverStream(peerService.listBackups, (filter) =>
        listBackups(vault, filter, everything, requests.retention()),
      ),
      own.serverStream(peerService.fetchBackup, (request) => fetchBackup(vault, request, everything)),
      own.serverStream(peerService.fetchLeaves, (request) => fetchLeaves(vault, request, everything)),
      ...healthAnswers([''], clock),
      own.unary(nodeService.reload, async () => ({ needsRestart: [...(await requests.reload())] })),
    ],
    clock,
    log,
  );
  const server = callServer(take);
  const door = createServer((connection) => {
    // Whoever hangs up closes the connection, and its calls with it.
    connection.on('error', () => {});
    server.serve(connection, { from: 'this server', certificate: undefined, crowd: 'this server' });
  });
  const stopTrying = await openOwnDoor(door, socket, clock, log);
  return {
    async close(graceMs) {
      await stopTrying();
      // Closing the door removes its socket at once.
      await closeDoor(door, server, graceMs, clock);
    },
  };
}

/** Milliseconds after which a disk that took no socket is tried again. */
const nextTry = 60_000;

/**
 * Begins to listen on the socket. Where the disk takes none, because it is read-only or full, peers are served all the same, and
 * it is tried again until it does.
 * @returns what ends that
 */
async function openOwnDoor(door: Door, socket: string, clock: Clock, log: ThrottledLog): Promise<() => Promise<void>> {
  let stopped = false;
  let cancel = (): void => {};
  let trying = Promise.resolve();
  const open = async (): Promise<void> => {
    await claimSocket(socket);
    await openDoor(door, { path: socket }, socket);
    await chmod(socket, 0o600);
  };
  const tryLater = (thrown: unknown): void => {
    if (!takesNothing(thrown)) throw thrown;
    if (!stopped) cancel = clock.after(nextTry, tryAgain);
  };
  const tellWhyNot = (thrown: unknown): void => {
    log.error('own client not served', { reason: Failure.from(thrown).message });
  };
  const tryAgain = (): void => {
    const opened = open().then(() => log.info('own client served'), tryLater);
    trying = opened.catch(tellWhyNot);
  };
  await open().catch((thrown) => {
    tryLater(thrown);
    tellWhyNot(thrown);
  });
  return () => {
    stopped = true;
    cancel();
    return trying;
  };
}

/** Whether a disk is read-only or full. */
function takesNothing(thrown: unknown): boolean {
  const error = (thrown instanceof Failure ? thrown.cause : thrown) as NodeJS.ErrnoException | undefined;
  return ['EROFS', 'ENOSPC', 'EDQUOT'].includes(error?.code ?? '');
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

/** @throws Failure `config` when a node serves the socket, or when that cannot be found out */
export async function checkNobodyServes(socket: string): Promise<void> {
  if (!(await isServed(socket))) return;
  throw new Failure('config', `another node is running: it serves ${socket}`, {
    hint: 'Stop it first; two nodes must not share a data folder.',
  });
}

/** Whether a node serves the socket. @throws Failure `config` when that cannot be found out */
export async function isServed(socket: string): Promise<boolean> {
  const error = await new Promise<NodeJS.ErrnoException | null>((resolve) => {
    const probe = connect(socket, () => {
      probe.destroy();
      resolve(null);
    });
    probe.once('error', resolve);
  });
  if (error === null) return true;
  if (error.code === 'ECONNREFUSED' || error.code === 'ENOENT') return false;
  throw new Failure('config', `whether a node serves ${socket} cannot be found out: ${error.message}`, {
    cause: error,
    hint: 'Run this as the user of the node, or name another path as server.socket.',
  });
}

/** Removes the socket that a killed node left behind, and refuses to take the one of a living node, or what is no socket. */
async function claimSocket(socket: string): Promise<void> {
  await makeFolders(dirname(socket), 0o700).catch((cause: Error) => {
    throw new Failure('config', `the node cannot listen on server.socket, ${socket}: ${cause.message}`, {
      cause,
      hint: 'Name another path as server.socket.',
    });
  });
  await checkNobodyServes(socket);
  const stats = await statsIfThere(socket);
  if (stats !== null && !stats.isSocket()) {
    throw new Failure('config', `the node cannot listen on server.socket: ${socket} is there, and is no socket`, {
      hint: 'It is left as it is. Name another path as server.socket, or move it away.',
    });
  }
  await rm(socket, { force: true });
}
