import type { FileHandle } from 'node:fs/promises';
import { FileDigest } from '../../../mesh/manifest/digest-tree.js';
import type { VerifiedManifest } from '../../../mesh/manifest/manifest.js';
import { Failure } from '../../../mesh/terms/failure.js';
import type { Holder } from '../../survey/holders.js';
import type { DownloadOptions, Received } from './arrival.js';
import { blamed, gaveUp, tooSlow, wrongLength } from './given-up.js';
import { pauseAfter } from './pause.js';
import { readAll, writeAll } from './positional.js';
import { watchRate } from './watch-rate.js';

/**
 * Fetches a backup from start to end, where nobody has hashes to check a part of it with. A holder that dies, stalls or
 * ends early is followed by the next one at the same offset; when the whole is wrong, each holder is tried alone, so that
 * the one that lies is known.
 * @throws Failure as `download` does
 */
export async function downloadInTurn(
  manifest: VerifiedManifest,
  holders: readonly Holder[],
  file: FileHandle,
  failures: Map<Holder, Failure>,
  options: DownloadOptions,
): Promise<Received> {
  let fetching = await resume(manifest, file, options.signal);
  let pool = [...holders];
  while (pool.length > 0) {
    await fill(fetching, pool, failures, options);
    if (!fetching.isComplete()) throw gaveUp(manifest, failures);
    if (fetching.isGenuine()) return finished(fetching, file);
    const [suspect, another] = fetching.received.keys();
    const isProven = suspect !== undefined && another === undefined && !fetching.resumed;
    fetching = await restart(manifest, file);
    if (!isProven) return eachAlone(manifest, pool, file, failures, options);
    // Only one holder gave these bytes, so it is the one that lies.
    blame(suspect, manifest, failures, options);
    pool = pool.filter((holder) => holder !== suspect);
  }
  throw gaveUp(manifest, failures);
}

/** Bytes of different holders did not fit together, and nobody knows whose were wrong. */
async function eachAlone(
  manifest: VerifiedManifest,
  holders: readonly Holder[],
  file: FileHandle,
  failures: Map<Holder, Failure>,
  options: DownloadOptions,
): Promise<Received> {
  for (const holder of holders) {
    const fetching = await restart(manifest, file);
    await fill(fetching, [holder], failures, options);
    if (!fetching.isComplete()) continue;
    if (fetching.isGenuine()) return finished(fetching, file);
    blame(holder, manifest, failures, options);
  }
  throw gaveUp(manifest, failures);
}

async function finished({ received }: Fetching, file: FileHandle): Promise<Received> {
  await file.sync();
  return received;
}

/** Takes bytes from one holder after the other, as long as a round over all of them still brings something. */
async function fill(
  fetching: Fetching,
  holders: readonly Holder[],
  failures: Map<Holder, Failure>,
  options: DownloadOptions,
): Promise<void> {
  const { clock, dropped, signal } = options;
  let willing = holders;
  for (let before = -1, rounds = 0; before < fetching.offset() && willing.length > 0; rounds += 1) {
    await pauseAfter(rounds, clock, signal);
    before = fetching.offset();
    for (const holder of willing) {
      if (fetching.isComplete()) return;
      if (signal?.aborted) throw new Failure('interrupted', 'interrupted');
      const failure = await fetching.take(holder, willing.length > 1, options);
      if (signal?.aborted) throw new Failure('interrupted', 'interrupted', { cause: failure });
      if (failure === null) continue;
      failures.set(holder, failure);
      dropped(holder, failure);
    }
    willing = willing.filter((holder) => failures.get(holder)?.retryable === true);
  }
}

interface Fetching {
  /** Whether its first bytes are from an earlier attempt. */
  readonly resumed: boolean;
  /** Who gave bytes, in order. */
  readonly received: Received;
  offset(): number;
  isComplete(): boolean;
  /** To be asked once, when it is complete. */
  isGenuine(): boolean;
  /**
   * Takes what the holder gives, up to the end; null when that was all. What it sent before it failed counts.
   * @param isOneOfSeveral whether it may be given up for being slow
   * @throws Failure when the bytes cannot be written here
   */
  take(holder: Holder, isOneOfSeveral: boolean, options: DownloadOptions): Promise<Failure | null>;
}

function startAt(manifest: VerifiedManifest, file: FileHandle, digest: FileDigest, start: number): Fetching {
  const { facts } = manifest;
  const received = new Map<Holder, number>();
  let offset = start;
  return {
    resumed: start > 0,
    received,
    offset: () => offset,
    isComplete: () => offset === facts.size,
    isGenuine() {
      const { size, sha256, treeRoot } = digest.finish();
      return size === facts.size && sha256.equals(facts.sha256) && treeRoot.equals(facts.treeRoot);
    },
    async take(holder, isOneOfSeveral, { clock, progress, signal }) {
      let isWriting = false;
      const stop = new AbortController();
      const abort = (): void => stop.abort();
      const giveUpIfSlow = (): void => {
        if (isOneOfSeveral) stop.abort(tooSlow(holder, manifest));
      };
      signal?.addEventListener('abort', abort, { once: true });
      try {
        const bytes = holder.fetch(facts.name, { offset, length: 0 }, stop.signal);
        for await (const chunk of watchRate(bytes, clock, giveUpIfSlow)) {
          if (offset + chunk.length > facts.size) return wrongLength(holder, manifest, 'sends more than');
          isWriting = true;
          await writeAll(file, chunk, offset);
          isWriting = false;
          digest.update(chunk);
          received.set(holder, (received.get(holder) ?? 0) + chunk.length);
          offset += chunk.length;
          progress(offset);
        }
      } catch (thrown) {
        if (isWriting) throw Failure.from(thrown, `${facts.name} cannot be written here`);
        const { reason } = stop.signal;
        return reason instanceof Failure ? reason : Failure.from(thrown, holder.described);
      } finally {
        signal?.removeEventListener('abort', abort);
      }
      return offset === facts.size ? null : wrongLength(holder, manifest, `ends after ${offset} of`);
    },
  };
}

/** Goes on where an earlier attempt ended: what is in the file is read again. */
async function resume(manifest: VerifiedManifest, file: FileHandle, signal?: AbortSignal): Promise<Fetching> {
  const { size } = await file.stat();
  if (size === 0 || size > manifest.facts.size) return restart(manifest, file);
  const digest = new FileDigest();
  for await (const chunk of readAll(file, { signal })) digest.update(chunk);
  return startAt(manifest, file, digest, size);
}

async function restart(manifest: VerifiedManifest, file: FileHandle): Promise<Fetching> {
  await file.truncate(0);
  return startAt(manifest, file, new FileDigest(), 0);
}

function blame(
  holder: Holder,
  manifest: VerifiedManifest,
  failures: Map<Holder, Failure>,
  { dropped }: DownloadOptions,
): void {
  const failure = blamed(holder, manifest);
  failures.set(holder, failure);
  dropped(holder, failure);
}
