import type {
  GetStatusResponse,
  PushFileRequest,
  RunBackupRequest,
  RunEvent,
} from '../generated/anemone/node/v1/node.js';
import type { Bytes } from '../terms/bytes.js';
import type { Clock } from '../terms/clock.js';
import { callServerStream, callUnary } from '../wire/calls.js';
import type { Channel } from '../wire/channel.js';
import { nodeService } from '../wire/methods.js';
import { bulkPatience } from './connection.js';
import type { ByteRange } from './fetch-backup.js';
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

/**
 * @param socket absolute path
 * @throws Failure `unreachable` when no node listens there, `forbidden` when this user may not open it
 */
export async function connectToOwnNode(socket: string, clock: Clock): Promise<OwnNode> {
  const control = await openOwnChannel(socket, clock);
  // The same connection, with more patience.
  const bulk: Channel = { ...control, patience: bulkPatience };
  // A run may read its source for hours without a word. When the node dies, the socket says so at once.
  const endless: Channel = { ...control, patience: Number.POSITIVE_INFINITY };
  return {
    async *runBackup(request, signal) {
      yield* eventsOf(callServerStream(endless, nodeService.runBackup, request, signal));
    },
    async *pushFile(request, signal) {
      yield* eventsOf(callServerStream(endless, nodeService.pushFile, request, signal));
    },
    getStatus: (signal) => callUnary(control, nodeService.getStatus, {}, signal),
    async *listOwn(filter, signal) {
      const call = callServerStream(control, nodeService.listBackups, filter, signal);
      for await (const pages of call) for (const page of pages) yield { ...page, brief: [] };
    },
    async *fetchOwn(name, range, signal) {
      const call = callServerStream(bulk, nodeService.fetchBackup, { name, ...range }, signal);
      for await (const chunks of call) for (const { chunk } of chunks) if (chunk.length > 0) yield chunk;
    },
    async *leavesOwn(name, first, signal) {
      const call = callServerStream(bulk, nodeService.fetchLeaves, { name, first }, signal);
      for await (const parts of call) for (const { hashes } of parts) yield hashes;
    },
    async reload(signal) {
      const answer = await callUnary(control, nodeService.reload, {}, signal);
      return answer.needsRestart;
    },
    close: () => control.close(),
  };
}

async function* eventsOf(
  call: AsyncIterable<readonly { readonly event?: RunEvent | undefined }[]>,
): AsyncGenerator<RunEvent> {
  for await (const parts of call) for (const { event } of parts) if (event !== undefined) yield event;
}
