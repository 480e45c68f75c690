import type {
  GetStatusResponse,
  PushFileRequest,
  RunBackupRequest,
  RunEvent,
} from '../generated/anemone/node/v1/node.js';
import type { Bytes } from '../terms/bytes.js';
import type { Clock } from '../terms/clock.js';
import { callServerStream, callUnary } from '../wire/calls.js';
import { nodeService } from '../wire/methods.js';
import type { CallContext } from '../wire/watch-call.js';
import { bulkPatience, controlPatience } from './connection.js';
import type { ByteRange } from './fetch-backup.js';
import { hashesFrom } from './fetch-leaves.js';
import type { ListFilter, ListPage } from './list-backups.js';
import { openOwnChannel } from './own-channel.js';

/** The node of this very server, asked over its unix socket. */
export interface OwnNode {
  /**
   * Runs the nightly story now. The last event is the report.
   * @throws Failure `locked` when another run is under way that has not read all its sets yet
   */
  runBackup(request: RunBackupRequest, signal?: AbortSignal): AsyncGenerator<RunEvent>;
  /** Keeps a sealed file as the next backup of a set, and pushes it to every peer. The last event is the report. */
  pushFile(request: PushFileRequest, signal?: AbortSignal): AsyncGenerator<RunEvent>;
  getStatus(signal?: AbortSignal): Promise<GetStatusResponse>;
  /** All backups on this server, page by page: its own, and those held for peers. Not verified. */
  listOwn(filter: ListFilter, signal?: AbortSignal): AsyncGenerator<ListPage>;
  /** Bytes of a backup on this server. Not verified. */
  fetchOwn(name: string, range: ByteRange, signal?: AbortSignal): Bytes & AsyncGenerator<Uint8Array>;
  /** The hashes of the leaves of a backup on this server, from one on, in order, 32 bytes each. Not verified. */
  leavesOwn(name: string, first: number, signal?: AbortSignal): Bytes & AsyncGenerator<Uint8Array>;
  /**
   * Has the configuration read again; resolves when its peers are in force.
   * @returns what of the change needs a restart of the node
   */
  reload(signal?: AbortSignal): Promise<readonly string[]>;
  close(): void;
}

/** A run may read its source for hours without a word. When the node dies, the socket says so at once. */
const untilItEnds = Number.POSITIVE_INFINITY;

/**
 * @param socket absolute path
 * @throws Failure `unreachable` when no node listens there, `forbidden` when this user may not open it
 */
export async function connectToOwnNode(socket: string, clock: Clock): Promise<OwnNode> {
  const channel = await openOwnChannel(socket, clock);
  const context = (patience: number, signal?: AbortSignal): CallContext => ({
    whom: 'the node of this server',
    isOwnNode: true,
    clock,
    patience,
    signal,
  });
  return {
    async *runBackup(request, signal) {
      const call = callServerStream(channel, nodeService.runBackup, request, context(untilItEnds, signal));
      for await (const events of call) for (const { event } of events) if (event !== undefined) yield event;
    },
    async *pushFile(request, signal) {
      const call = callServerStream(channel, nodeService.pushFile, request, context(untilItEnds, signal));
      for await (const events of call) for (const { event } of events) if (event !== undefined) yield event;
    },
    getStatus: (signal) => callUnary(channel, nodeService.getStatus, {}, context(controlPatience, signal)),
    async *listOwn(filter, signal) {
      const call = callServerStream(channel, nodeService.listBackups, filter, context(controlPatience, signal));
      for await (const pages of call) for (const page of pages) yield { ...page, brief: [] };
    },
    async *fetchOwn(name, range, signal) {
      const request = { name, ...range };
      const call = callServerStream(channel, nodeService.fetchBackup, request, context(bulkPatience, signal));
      for await (const chunks of call) for (const { chunk } of chunks) if (chunk.length > 0) yield chunk;
    },
    async *leavesOwn(name, first, signal) {
      const request = { name, first };
      yield* hashesFrom(
        first,
        callServerStream(channel, nodeService.fetchLeaves, request, context(bulkPatience, signal)),
      );
    },
    async reload(signal) {
      const answer = await callUnary(channel, nodeService.reload, {}, context(controlPatience, signal));
      return answer.needsRestart;
    },
    close: () => channel.close(),
  };
}
