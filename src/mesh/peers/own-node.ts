import type {
  GetStatusResponse,
  PushFileRequest,
  RunBackupRequest,
  RunEvent,
} from '../generated/anemone/node/v1/node.js';
import type { Clock } from '../terms/clock.js';
import { callServerStream, callUnary } from '../wire/calls.js';
import type { Channel } from '../wire/channel.js';
import { nodeService } from '../wire/methods.js';
import { bulkPatience, type Channels } from './connection.js';
import { openOwnChannel } from './own-channel.js';

/** The node of this very server, asked over its unix socket. As a holder of backups it is asked as peers are, and shows all. */
export interface OwnNode extends Channels {
  /**
   * Runs the nightly story now. The last event is the report.
   * @throws Failure `locked` when another run is under way that has not read all its sets yet
   */
  runBackup(request: RunBackupRequest, signal?: AbortSignal): AsyncGenerator<RunEvent>;
  /** Keeps a sealed file as the next backup of a set, and pushes it to every peer. The last event is the report. */
  pushFile(request: PushFileRequest, signal?: AbortSignal): AsyncGenerator<RunEvent>;
  getStatus(signal?: AbortSignal): Promise<GetStatusResponse>;
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
  // A run may read its source for hours without a word. When the node dies, the socket says so at once.
  const endless: Channel = { ...control, patience: Number.POSITIVE_INFINITY };
  return {
    control,
    // The same connection, with more patience.
    bulk: { ...control, patience: bulkPatience },
    async *runBackup(request, signal) {
      yield* eventsOf(callServerStream(endless, nodeService.runBackup, request, signal));
    },
    async *pushFile(request, signal) {
      yield* eventsOf(callServerStream(endless, nodeService.pushFile, request, signal));
    },
    getStatus: (signal) => callUnary(control, nodeService.getStatus, {}, signal),
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
