import type { SignedReceipt } from '../generated/anemone/backup/v1/backup.js';
import type { PushBackupRequest, Range } from '../generated/anemone/peer/v1/peer.js';
import { leafSize } from '../manifest/digest-tree.js';
import type { VerifiedManifest } from '../manifest/manifest.js';
import type { LentBytes } from '../terms/bytes.js';
import { Failure } from '../terms/failure.js';
import { callClientStream } from '../wire/calls.js';
import type { Channel } from '../wire/channel.js';
import { peerService } from '../wire/methods.js';
import type { Connection } from './connection.js';
import { verifiedReceipt } from './offer-backup.js';
import { type Claim, openRangeQueue, type RangeQueue } from './range-queue.js';

/** Where the bytes of a backup come from and who hears of the progress. */
export interface PushOptions {
  /**
   * Reads a range of the sealed file. Chunks are at most 1 MiB, and each counts as progress once all of it was sent. A large file
   * is read at several places at once. The peer hears of the range with its first chunk, however long that takes; where the
   * stream ends early, behind a leaf, the rest is read as another range.
   * @param wanted aborts when it is to be read no further
   */
  read(offset: number, length: number, wanted: AbortSignal): LentBytes;
  /** Told how many bytes of the backup the peer has: first as it says, then with those handed to the network. */
  progress?(bytes: number): void;
  readonly signal?: AbortSignal;
}

/** Bytes from which on more than one channel may be worth their start. */
const large = 16 * 2 ** 20;

/** A backup on its way to a peer, over one channel or several. They are known by their number; the first is 0. */
interface Sending {
  readonly connection: Connection;
  readonly manifest: VerifiedManifest;
  readonly options: PushOptions;
  readonly queue: RangeQueue<number>;
  readonly isLarge: boolean;
  readonly inUse: Map<number, Promise<void>>;
  readonly broken: Set<number>;
  /** Why a channel broke; the last one that did. */
  failure: Failure | null;
  /** Whether a channel has brought something, and is ready to bring more. */
  isLeft: boolean;
  /** Aborts when nothing more is to be sent. */
  readonly over: AbortController;
  /** The peer's receipt, or its refusal. */
  outcome: SignedReceipt | Failure | null;
}

/**
 * Sends what is missing of a backup. A large one goes over several channels where they are clearly faster than one: each
 * sends one range at a time, and an idle one takes over the rest of one that broke, or the second half of what another has
 * most left of.
 * @param missing ranges of leaves of the file
 * @returns the verified receipt; null when the peer has to be asked what it lacks still, which is less than before
 * @throws Failure when the peer refuses, or no channel is left
 */
export async function sendMissing(
  connection: Connection,
  manifest: VerifiedManifest,
  missing: readonly Range[],
  options: PushOptions,
): Promise<SignedReceipt | null> {
  const queue = queueOf(missing, manifest.facts.size);
  const sending: Sending = {
    connection,
    manifest,
    options,
    queue,
    isLarge: queue.missing() * leafSize >= large,
    inUse: new Map(),
    broken: new Set(),
    failure: null,
    isLeft: false,
    over: new AbortController(),
    outcome: null,
  };
  const end = sending.isLarge ? connection.channelCount.begin() : () => {};
  useChannels(sending);
  while (sending.inUse.size > 0) await Promise.race(sending.inUse.values());
  end();
  sending.over.abort();
  const { outcome, isLeft, failure } = sending;
  if (outcome instanceof Failure) throw outcome;
  if (outcome === null && !isLeft && failure !== null) throw failure;
  return outcome;
}

function queueOf(missing: readonly Range[], size: number): RangeQueue<number> {
  const leaves = new Uint8Array(Math.ceil(size / leafSize));
  const ranges = missing.map(({ offset, length }) => ({
    start: offset / leafSize,
    end: Math.ceil((offset + length) / leafSize),
  }));
  for (const { start, end } of ranges) leaves.fill(1, start, end);
  return openRangeQueue(leaves, ranges);
}

function isWanted({ connection, isLarge, over }: Sending, channel: number): boolean {
  return channel < (isLarge ? connection.channelCount.wanted : 1) && !over.signal.aborted;
}

/** Takes channels into use until there are as many as wanted. */
function useChannels(sending: Sending): void {
  const { inUse, broken } = sending;
  for (let channel = 0; isWanted(sending, channel); channel += 1) {
    if (inUse.has(channel) || broken.has(channel)) continue;
    const use = useChannel(sending, channel).finally(() => inUse.delete(channel));
    inUse.set(channel, use);
  }
}

/** Sends over one channel until there is nothing left for it to do. Never throws. */
async function useChannel(sending: Sending, number: number): Promise<void> {
  const { connection, queue, broken } = sending;
  const channel = number === 0 ? connection.bulk : connection.openBulk();
  /** The answer to the range before, which the next one does not wait for: much is in buffers still. */
  let before: Promise<void> = Promise.resolve();
  let brought = false;
  try {
    while (isWanted(sending, number)) {
      const claim = queue.take(number, Number.POSITIVE_INFINITY);
      if (claim === null) break;
      let answered: Promise<void>;
      try {
        const range = await sendClaim(sending, claim, channel);
        answered = range.answered;
        await Promise.race([range.sent, answered]);
      } finally {
        queue.release(claim);
      }
      await before;
      before = answered;
      brought ||= claim.next > claim.start;
    }
    await before;
    sending.isLeft ||= brought;
  } catch (thrown) {
    const failure = Failure.from(thrown);
    broken.add(number);
    sending.failure = failure;
    if (!failure.retryable) settle(sending, failure);
  } finally {
    if (number > 0) channel.close();
  }
}

function settle(sending: Sending, outcome: SignedReceipt | Failure): void {
  sending.outcome ??= outcome;
  sending.over.abort();
}

/** A range that is being sent. */
interface SentRange {
  /** Resolves when all of it was handed to the network; never when the call ends before. */
  readonly sent: Promise<void>;
  /** Resolves when the peer has dealt with it. @throws Failure as the peer gave it, or because the channel broke */
  readonly answered: Promise<void>;
}

/**
 * Begins to send what is claimed, or as much of it as nobody takes over and the channel is wanted for. The call begins when its
 * first bytes are there: whoever waits for them lets no peer wait.
 */
async function sendClaim(sending: Sending, claim: Claim<number>, channel: Channel): Promise<SentRange> {
  const { connection, manifest, options, over } = sending;
  const signal = options.signal === undefined ? over.signal : AbortSignal.any([options.signal, over.signal]);
  let allSent = (): void => {};
  const sent = new Promise<void>((resolve) => {
    allSent = resolve;
  });
  const parts = partsOf(sending, claim, signal);
  const first = await parts.next();
  async function* requests(): AsyncGenerator<PushBackupRequest> {
    if (!first.done) yield first.value;
    yield* parts;
    allSent();
  }
  const answered = callClientStream(channel, peerService.pushBackup, requests(), signal).then(({ answer }) => {
    if (answer?.$case === 'receipt') settle(sending, verifiedReceipt(connection, answer.value, manifest));
  });
  // It is waited for later; a call that could not begin has left what it was to send.
  answered.catch(() => parts.return(undefined)).catch(() => {});
  return { sent, answered };
}

async function* partsOf(
  sending: Sending,
  claim: Claim<number>,
  wanted: AbortSignal,
): AsyncGenerator<PushBackupRequest, undefined> {
  const { manifest, options, queue } = sending;
  const { digest, facts } = manifest;
  const endOf = (leaf: number): number => Math.min(leaf * leafSize, facts.size);
  const offset = claim.start * leafSize;
  const length = endOf(claim.end) - offset;
  let at = offset;
  for await (const chunk of options.read(offset, length, wanted)) {
    if (at === offset)
      yield { part: { $case: 'header', value: { manifestDigest: digest, range: { offset, length } } } };
    at += chunk.length;
    // Whoever takes over the second half takes nothing of what is on its way.
    while (claim.next < claim.end && endOf(claim.next + 1) <= at) queue.arrived(claim);
    yield { part: { $case: 'chunk', value: chunk } };
    handedOver(sending, chunk.length);
    if (at >= endOf(claim.end) || !isWanted(sending, claim.holder)) break;
  }
  // Where the peer was promised more, the rest is simply still missing.
  yield { part: { $case: 'end', value: {} } };
}

function handedOver(sending: Sending, bytes: number): void {
  const { connection, manifest, options, queue, isLarge, broken } = sending;
  options.progress?.(Math.max(0, manifest.facts.size - queue.missing() * leafSize));
  if (!isLarge) return;
  const { channelCount } = connection;
  const before = channelCount.wanted;
  channelCount.sent(bytes);
  if (channelCount.wanted === before) return;
  broken.clear();
  useChannels(sending);
}
