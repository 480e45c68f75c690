import type { PushBackupRequest, PushBackupResponse, PushHeader } from '../../mesh/generated/anemone/peer/v1/peer.js';
import { leafSize } from '../../mesh/manifest/digest-tree.js';
import type { Clock } from '../../mesh/terms/clock.js';
import { Failure } from '../../mesh/terms/failure.js';
import type { RangeReceiver } from '../vault/receiving.js';
import type { Vault } from '../vault/vault.js';
import type { Incoming } from './call.js';
import type { Caller } from './callers.js';

/** Milliseconds of waiting in which at least one leaf has to arrive; a slower upload gives its place to others. */
const leafPatience = 60_000;

/**
 * Takes one range of an offered backup. Only the explicit end of the stream is an end: one that was cut may look finished.
 */
export async function pushBackup(
  vault: Vault,
  requests: AsyncIterable<readonly PushBackupRequest[]>,
  { caller, signal }: Incoming<Caller>,
  clock: Clock,
): Promise<PushBackupResponse> {
  const pace = paceOf(requests[Symbol.asyncIterator](), signal, clock);
  let receiving: RangeReceiver | null = null;
  try {
    const [first, ...others] = await pace.next();
    const { manifestDigest, range } = headerOf(first?.part);
    if (range === undefined) throw new Failure('invalid', 'the header of the upload names no range');
    receiving = await vault.receive(caller.name, manifestDigest, range);
    for (let arrived = chunksOf(others); ; arrived = chunksOf(await pace.next())) {
      await receiving.write(...arrived.chunks);
      if (arrived.ended) break;
      pace.arrived(arrived.chunks);
    }
    const answer = await receiving.finish();
    return 'held' in answer
      ? { answer: { $case: 'receipt', value: answer.held } }
      : { answer: { $case: 'missing', value: { ranges: [...answer.missing] } } };
  } catch (thrown) {
    await receiving?.abort();
    throw thrown;
  } finally {
    pace.stop();
  }
}

type Part = PushBackupRequest['part'];

function headerOf(part: Part): PushHeader {
  if (part?.$case !== 'header') throw new Failure('invalid', 'an upload starts with its header');
  return part.value;
}

/** The bytes of chunks, up to the end where it is among the messages. */
function chunksOf(messages: readonly PushBackupRequest[]): {
  readonly chunks: readonly Uint8Array[];
  readonly ended: boolean;
} {
  const chunks: Uint8Array[] = [];
  for (const { part } of messages) {
    if (part?.$case === 'end') return { chunks, ended: true };
    if (part?.$case !== 'chunk') throw new Failure('invalid', 'after its header, an upload has chunks and an end');
    chunks.push(part.value);
  }
  return { chunks, ended: false };
}

/** Gives the messages of the stream as they come, and gives up when they come too slowly or stop before the end. */
function paceOf(messages: AsyncIterator<readonly PushBackupRequest[]>, signal: AbortSignal, clock: Clock) {
  let gaveUp: Failure | null = null;
  let wake = (_reason: Failure): void => {};
  const giveUp = (reason: Failure): void => {
    gaveUp ??= reason;
    wake(gaveUp);
  };
  const tooSlow = (): void =>
    giveUp(new Failure('timeout', 'the upload is too slow: less than 64 KiB arrived in a minute'));
  let fresh = 0;
  let left = leafPatience;
  const interrupted = (): void => giveUp(new Failure('interrupted', 'the upload was interrupted before its end'));
  signal.addEventListener('abort', interrupted, { once: true });
  return {
    async next(): Promise<readonly PushBackupRequest[]> {
      if (gaveUp !== null) throw gaveUp;
      // Only here the caller is waited for: what the disk takes in between is no fault of the caller's.
      const since = clock.monotonic();
      const disarm = clock.after(left, tooSlow);
      try {
        // A race against one promise that outlives them all would hold on to every chunk until the upload is over.
        const { done, value } = await new Promise<IteratorResult<readonly PushBackupRequest[]>>((resolve, reject) => {
          wake = reject;
          messages.next().then(resolve, reject);
        });
        if (done) throw new Failure('interrupted', 'the upload was interrupted before its end');
        return value;
      } finally {
        disarm();
        left -= clock.monotonic() - since;
      }
    },
    arrived(chunks: readonly Uint8Array[]): void {
      for (const chunk of chunks) fresh += chunk.length;
      if (fresh < leafSize) return;
      fresh = 0;
      left = leafPatience;
    },
    stop(): void {
      signal.removeEventListener('abort', interrupted);
    },
  };
}
