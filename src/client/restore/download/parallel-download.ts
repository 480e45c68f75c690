import type { FileHandle } from 'node:fs/promises';
import { readAll } from '../../../mesh/files/read-all.js';
import { SyncBehind } from '../../../mesh/files/sync-behind.js';
import { writeAll } from '../../../mesh/files/write-all.js';
import { hashSize, leafHash, leafSize } from '../../../mesh/manifest/digest-tree.js';
import type { LeafHashes } from '../../../mesh/manifest/leaf-hashes.js';
import type { VerifiedManifest } from '../../../mesh/manifest/manifest.js';
import { type Claim, longestRange, openRangeQueue, type RangeQueue } from '../../../mesh/peers/range-queue.js';
import { Failure } from '../../../mesh/terms/failure.js';
import type { Holder } from '../../survey/holders.js';
import type { DownloadOptions, Received } from './download-options.js';
import { blamed, gaveUp, tooSlow, wrongLength } from './given-up.js';
import { pauseAfterBreak, pauseBefore } from './pause.js';
import { watchRate } from './watch-rate.js';
import { wholeLeaves } from './whole-leaves.js';

/** Ranges that one holder is asked for at a time: while one arrives, the question for the next is on its way. */
const inFlight = 2;
/**
 * Milliseconds that a range may take. What a slow line has taken into its buffers arrives before anything else, wanted or
 * not, so little is asked of it at a time: else the end of a backup waits for what others have brought already.
 */
const rangeTime = 1000;
/** Leaves that are asked for at first, and at least. */
const shortestRange = 8;
/** How often in a row all holders may fail without a byte, once bytes have come: a link that is down for a while. */
const mostInVain = 4;

export interface Arrival {
  readonly file: FileHandle;
  readonly leaves: LeafHashes;
  /** Why holders were given up. */
  readonly failures: Map<Holder, Failure>;
}

/**
 * Fetches what is missing in a file from all holders at once. Each leaf is compared with its hash before it is written at
 * its place, so a holder that lies is known by its first wrong leaf. Which leaves are there already is found out by reading
 * the file: nothing else about an earlier attempt is believed, or needed.
 * @throws Failure as `download` does
 */
export async function downloadInParallel(
  manifest: VerifiedManifest,
  holders: readonly Holder[],
  arrival: Arrival,
  options: DownloadOptions,
): Promise<Received> {
  const { file, leaves, failures } = arrival;
  if ((await file.stat()).size > manifest.facts.size) await file.truncate(manifest.facts.size);
  const queue = openRangeQueue<Holder>(await missingLeaves(file, leaves, options.signal));
  const transfer: Transfer = {
    manifest,
    queue,
    arrival,
    options,
    received: new Map(),
    running: new Map(),
    active: new Set(),
    over: new AbortController(),
    behind: new SyncBehind(file),
    broken: null,
  };
  const stop = (): void => end(transfer);
  options.signal.addEventListener('abort', stop, { once: true });
  if (options.signal.aborted) stop();
  try {
    let willing = holders;
    for (let inVain = 0; queue.missing() > 0; ) {
      const before = queue.missing();
      await round(transfer, willing);
      if (options.signal.aborted) throw new Failure('interrupted', 'interrupted');
      if (queue.missing() === 0) break;
      willing = willing.filter((holder) => failures.get(holder)?.retryable !== false);
      inVain = queue.missing() < before ? 0 : inVain + 1;
      const hopeless = transfer.received.size === 0 || inVain > mostInVain;
      if (willing.length === 0 || hopeless) throw gaveUp(manifest, failures);
      await pauseBefore(inVain, options.clock, options.signal);
    }
    await onThisDisk(transfer, () => transfer.behind.settled());
  } finally {
    options.signal.removeEventListener('abort', stop);
  }
  return transfer.received;
}

/** For each leaf, whether the file does not have it. */
async function missingLeaves(file: FileHandle, leaves: LeafHashes, signal: AbortSignal): Promise<Uint8Array> {
  const missing = new Uint8Array(leaves.count).fill(1);
  let at = 0;
  for await (const chunk of readAll(file, { signal })) {
    const hashes = await leaves.read(at, Math.ceil(chunk.length / leafSize));
    for (let start = 0; start < chunk.length; start += leafSize) {
      const hash = hashes.subarray((start / leafSize) * hashSize).subarray(0, hashSize);
      if (leafHash(chunk.subarray(start, start + leafSize)).equals(hash)) missing[at] = 0;
      at += 1;
    }
  }
  return missing;
}

/** A download under way: what is asked of whom, and how to stop it. */
interface Transfer {
  readonly manifest: VerifiedManifest;
  readonly queue: RangeQueue<Holder>;
  readonly arrival: Arrival;
  readonly options: DownloadOptions;
  readonly received: Map<Holder, number>;
  readonly running: Map<Claim<Holder>, AbortController>;
  /** Who is asked still. */
  active: Set<Holder>;
  /** Aborts when nobody has anything to wait for any more. */
  readonly over: AbortController;
  /** Has the disk take what is written while more comes: the sync at the end has little left to do, and progress is true. */
  readonly behind: SyncBehind;
  /** Why this disk does not take the bytes. */
  broken: Failure | null;
}

/** Fetches from these holders until nothing is missing, or none of them is left. @throws Failure when this disk fails */
async function round(transfer: Transfer, holders: readonly Holder[]): Promise<void> {
  transfer.active = new Set(holders);
  const served = holders.flatMap((holder) => Array.from({ length: inFlight }, () => serve(transfer, holder)));
  await Promise.all(served);
  if (transfer.broken !== null) throw transfer.broken;
}

async function serve(transfer: Transfer, holder: Holder): Promise<void> {
  const { queue, active, over, options } = transfer;
  let most = shortestRange;
  for (let breaks = 0; active.has(holder) && !over.signal.aborted; ) {
    const claim = queue.take(holder, most);
    if (claim === null) return;
    const asked = options.clock.monotonic();
    const failure = await settle(transfer, claim);
    const took = Math.max(1, options.clock.monotonic() - asked);
    const brought = claim.next - claim.start;
    most = Math.max(shortestRange, Math.min(longestRange, 2 * most, Math.ceil((brought / took) * rangeTime)));
    breaks = failure === null ? 0 : breaks + 1;
    // A link that broke after it had brought something is worth another try.
    if (failure !== null && !(failure.retryable && claim.next > claim.start)) drop(transfer, holder, failure);
    else if (failure !== null) await pauseAfterBreak(breaks, options.clock, over.signal).catch(() => {});
  }
}

/** Fetches what is claimed. @returns why that failed; null also when it was stopped because nobody needs it any more */
async function settle(transfer: Transfer, claim: Claim<Holder>): Promise<Failure | null> {
  const stop = new AbortController();
  transfer.running.set(claim, stop);
  try {
    await fetchClaim(transfer, claim, stop.signal);
    return null;
  } catch (thrown) {
    return stop.signal.aborted ? null : Failure.from(thrown, claim.holder.described);
  } finally {
    transfer.running.delete(claim);
    transfer.queue.release(claim);
  }
}

/**
 * Fetches what is claimed, or as much of it as nobody else took over. A range that is wanted whole is read until its holder
 * ends it: HTTP/2 ends a connection over which very many are cancelled.
 */
async function fetchClaim(transfer: Transfer, claim: Claim<Holder>, signal: AbortSignal): Promise<void> {
  const { manifest, arrival, options } = transfer;
  const { facts } = manifest;
  const { holder, start, end: asked } = claim;
  const offset = start * leafSize;
  const length = Math.min(asked * leafSize, facts.size) - offset;
  const hashes = await onThisDisk(transfer, async () => {
    const read = await arrival.leaves.read(start, asked - start);
    // Of what the disk cannot read it first gives what lies before.
    if (read.length < (asked - start) * hashSize) {
      throw new Failure(
        'failed',
        `${facts.name} cannot be written here: the hashes of its leaves cannot be read again`,
      );
    }
    return read;
  });
  const giveUpIfSlow = (): void => {
    if (transfer.active.size > 1) drop(transfer, holder, tooSlow(holder, manifest));
  };
  const bytes = holder.fetch(facts.name, { offset, length }, signal);
  for await (const run of wholeLeaves(watchRate(bytes, options.clock, giveUpIfSlow), length)) {
    const right = rightAtStart(run, hashes.subarray((claim.next - start) * hashSize));
    await keep(transfer, claim, right);
    if (claim.next >= claim.end && claim.end < asked) return;
    if (right.length < run.length) throw blamed(holder, manifest);
  }
  if (claim.next < claim.end) throw wrongLength(holder, manifest, `ends after ${claim.next * leafSize} of`);
}

/** Writes leaves at their place, and stops those who were about to bring them too. */
async function keep(transfer: Transfer, claim: Claim<Holder>, leaves: Uint8Array): Promise<void> {
  const { manifest, queue, arrival, received, behind, options } = transfer;
  const { facts } = manifest;
  await onThisDisk(transfer, async () => {
    await writeAll(arrival.file, leaves, claim.next * leafSize);
    await behind.wrote(leaves.length);
  });
  for (let at = 0; at < leaves.length; at += leafSize) queue.arrived(claim);
  received.set(claim.holder, (received.get(claim.holder) ?? 0) + leaves.length);
  options.progress(Math.max(0, facts.size - queue.missing() * leafSize));
  if (queue.missing() === 0) end(transfer);
  // One that has brought all that it was asked for ends by itself.
  else stopWhere(transfer, (other) => other !== claim && other.next < other.end && queue.isOver(other));
}

/** What fails here is no fault of a holder, and ends everything. */
async function onThisDisk<T>(transfer: Transfer, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (thrown) {
    transfer.broken = Failure.from(thrown, `${transfer.manifest.facts.name} cannot be written here`);
    end(transfer);
    throw transfer.broken;
  }
}

function drop(transfer: Transfer, holder: Holder, failure: Failure): void {
  if (!transfer.active.delete(holder)) return;
  transfer.arrival.failures.set(holder, failure);
  transfer.options.dropped(holder, failure);
  stopWhere(transfer, (claim) => claim.holder === holder);
}

function end(transfer: Transfer): void {
  transfer.over.abort();
  stopWhere(transfer, () => true);
}

function stopWhere({ running }: Transfer, isUseless: (claim: Claim<Holder>) => boolean): void {
  for (const [claim, stop] of running) if (isUseless(claim)) stop.abort();
}

/** The leaves at the start of a run that are what their hashes say. */
function rightAtStart(run: Uint8Array, hashes: Buffer): Uint8Array {
  for (let at = 0; at < run.length; at += leafSize) {
    const hash = hashes.subarray((at / leafSize) * hashSize).subarray(0, hashSize);
    if (!leafHash(run.subarray(at, at + leafSize)).equals(hash)) return run.subarray(0, at);
  }
  return run;
}
