import type { PushBackupRequest, PushBackupResponse, PushHeader } from '../../mesh/generated/anemone/peer/v1/peer.js';
import { leafSize } from '../../mesh/manifest/digest-tree.js';
import type { Clock } from '../../mesh/terms/clock.js';
import { Failure } from '../../mesh/terms/failure.js';
import type { RangeReceiver } from '../vault/receiving.js';
import type { Vault } from '../vault/vault.js';
import type { Incoming } from './call.js';
import type { Caller } from './callers.js';

/** Milliseconds in which at least one leaf has to arrive; a slower upload gives its place to others. */
const leafPatience = 60_000;

/**
 * Takes one range of an offered backup. Only the explicit end of the stream is an end: a stream that was cut looks like a
 * finished one to grpc-js.
 */
export async function pushBackup(
  vault: Vault,
  requests: AsyncIterable<PushBackupRequest>,
  { caller, signal }: Incoming<Caller>,
  clock: Clock,
): Promise<PushBackupResponse> {
  const parts = requests[Symbol.asyncIterator]();
  const pace = paceOf(parts, signal, clock);
  let receiving: RangeReceiver | null = null;
  try {
    const { manifestDigest, range } = headerOf(await pace.next());
    if (range === undefined) throw new Failure('invalid', 'the header of the upload names no range');
    receiving = await vault.receive(caller.name, manifestDigest, range);
    for (let chunk = chunkOf(await pace.next()); chunk !== null; chunk = chunkOf(await pace.next())) {
      await receiving.write(chunk);
      pace.arrived(chunk.length);
    }
    const answer = await receiving.finish();
    return 'receipt' in answer
      ? { answer: { $case: 'receipt', value: answer.receipt } }
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

/** The bytes of a chunk, or null at the end. */
function chunkOf(part: Part): Uint8Array | null {
  if (part?.$case === 'end') return null;
  if (part?.$case !== 'chunk') throw new Failure('invalid', 'after its header, an upload has chunks and an end');
  return part.value;
}

/** Gives the parts of the stream one by one, and gives up when they come too slowly or stop before the end. */
function paceOf(parts: AsyncIterator<PushBackupRequest>, signal: AbortSignal, clock: Clock) {
  let gaveUp: Failure | null = null;
  let wake = (_reason: Failure): void => {};
  const giveUp = (reason: Failure): void => {
    gaveUp ??= reason;
    wake(gaveUp);
  };
  let fresh = 0;
  let disarm = (): void => {};
  const arm = (): void => {
    disarm();
    disarm = clock.after(leafPatience, () =>
      giveUp(new Failure('timeout', 'the upload is too slow: less than 64 KiB arrived in a minute')),
    );
  };
  const interrupted = (): void => giveUp(new Failure('interrupted', 'the upload was interrupted before its end'));
  signal.addEventListener('abort', interrupted, { once: true });
  arm();
  return {
    async next(): Promise<Part> {
      if (gaveUp !== null) throw gaveUp;
      // A race against one promise that outlives them all would hold on to every chunk until the upload is over.
      const { done, value } = await new Promise<IteratorResult<PushBackupRequest>>((resolve, reject) => {
        wake = reject;
        parts.next().then(resolve, reject);
      });
      if (done) throw new Failure('interrupted', 'the upload was interrupted before its end');
      return value.part;
    },
    arrived(bytes: number): void {
      fresh += bytes;
      if (fresh < leafSize) return;
      fresh = 0;
      arm();
    },
    stop(): void {
      disarm();
      signal.removeEventListener('abort', interrupted);
    },
  };
}
