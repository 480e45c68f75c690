import type { FileHandle } from 'node:fs/promises';
import { FileDigest } from '../../mesh/manifest/digest-tree.js';
import type { VerifiedManifest } from '../../mesh/manifest/manifest.js';
import { Failure } from '../../mesh/terms/failure.js';
import type { Holder } from '../holders.js';

export interface DownloadOptions {
  /** Told how many bytes of the backup are there. */
  progress(bytes: number): void;
  /** Told when a holder is given up, and why. */
  dropped(holder: Holder, why: Failure): void;
  readonly signal?: AbortSignal;
}

/**
 * Fetches a backup into an open file and believes it only when size, SHA-256 and tree root are those of the manifest. What
 * the file has already, from an earlier attempt, is used. A holder that dies, stalls or ends early is followed by the next
 * one at the same offset; when the whole is wrong, each holder is tried alone, so that the one that lies is known.
 * @param file opened for reading and writing
 * @throws Failure `damaged` when all who answered sent something else; `unreachable` when nobody could finish
 */
export async function download(
  manifest: VerifiedManifest,
  holders: readonly Holder[],
  file: FileHandle,
  options: DownloadOptions,
): Promise<void> {
  const failures = new Map<Holder, Failure>();
  let fetching = await resume(manifest, file);
  let pool = [...holders];
  while (pool.length > 0) {
    await fill(fetching, pool, failures, options);
    if (!fetching.isComplete()) throw gaveUp(manifest, failures);
    if (fetching.isGenuine()) return file.sync();
    const [suspect, another] = fetching.contributors;
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
): Promise<void> {
  for (const holder of holders) {
    const fetching = await restart(manifest, file);
    await fill(fetching, [holder], failures, options);
    if (!fetching.isComplete()) continue;
    if (fetching.isGenuine()) return file.sync();
    blame(holder, manifest, failures, options);
  }
  throw gaveUp(manifest, failures);
}

/** Takes bytes from one holder after the other, as long as a round over all of them still brings something. */
async function fill(
  fetching: Fetching,
  holders: readonly Holder[],
  failures: Map<Holder, Failure>,
  { progress, dropped, signal }: DownloadOptions,
): Promise<void> {
  let willing = holders;
  for (let before = -1; before < fetching.offset() && willing.length > 0; ) {
    before = fetching.offset();
    for (const holder of willing) {
      if (fetching.isComplete()) return;
      const failure = await fetching.take(holder, progress, signal);
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
  readonly contributors: ReadonlySet<Holder>;
  offset(): number;
  isComplete(): boolean;
  /** To be asked once, when it is complete. */
  isGenuine(): boolean;
  /**
   * Takes what the holder gives, up to the end; null when that was all. What it sent before it failed counts.
   * @throws Failure when the bytes cannot be written here
   */
  take(holder: Holder, progress: (bytes: number) => void, signal?: AbortSignal): Promise<Failure | null>;
}

function startAt(manifest: VerifiedManifest, file: FileHandle, digest: FileDigest, start: number): Fetching {
  const { facts } = manifest;
  const contributors = new Set<Holder>();
  let offset = start;
  return {
    resumed: start > 0,
    contributors,
    offset: () => offset,
    isComplete: () => offset === facts.size,
    isGenuine() {
      const { size, sha256, treeRoot } = digest.finish();
      return size === facts.size && sha256.equals(facts.sha256) && treeRoot.equals(facts.treeRoot);
    },
    async take(holder, progress, signal) {
      let isWriting = false;
      try {
        for await (const chunk of holder.fetch(facts.name, offset, signal)) {
          if (offset + chunk.length > facts.size) return wrongLength(holder, manifest, 'sends more than');
          isWriting = true;
          await writeAll(file, chunk, offset);
          isWriting = false;
          digest.update(chunk);
          contributors.add(holder);
          offset += chunk.length;
          progress(offset);
        }
      } catch (thrown) {
        if (isWriting) throw Failure.from(thrown, `${facts.name} cannot be written here`);
        return Failure.from(thrown, holder.described);
      }
      return offset === facts.size ? null : wrongLength(holder, manifest, `ends after ${offset} of`);
    },
  };
}

/** Goes on where an earlier attempt ended: what is in the file is read again. */
async function resume(manifest: VerifiedManifest, file: FileHandle): Promise<Fetching> {
  const { size } = await file.stat();
  if (size === 0 || size > manifest.facts.size) return restart(manifest, file);
  return startAt(manifest, file, await digestOf(file, size), size);
}

async function restart(manifest: VerifiedManifest, file: FileHandle): Promise<Fetching> {
  await file.truncate(0);
  return startAt(manifest, file, new FileDigest(), 0);
}

async function digestOf(file: FileHandle, size: number): Promise<FileDigest> {
  const digest = new FileDigest();
  const buffer = Buffer.allocUnsafe(2 ** 20);
  for (let position = 0; position < size; ) {
    const { bytesRead } = await file.read(buffer, 0, buffer.length, position);
    if (bytesRead === 0) break;
    digest.update(buffer.subarray(0, bytesRead));
    position += bytesRead;
  }
  return digest;
}

async function writeAll(file: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    const { bytesWritten } = await file.write(bytes, done, bytes.length - done, position + done);
    done += bytesWritten;
  }
}

function wrongLength(holder: Holder, { facts }: VerifiedManifest, does: string): Failure {
  return new Failure('damaged', `${holder.described} ${does} the ${facts.size} bytes of ${facts.name}`);
}

function blame(
  holder: Holder,
  { facts }: VerifiedManifest,
  failures: Map<Holder, Failure>,
  { dropped }: DownloadOptions,
): void {
  const failure = new Failure(
    'damaged',
    `${holder.described} sent other bytes than the manifest of ${facts.name} says`,
  );
  failures.set(holder, failure);
  dropped(holder, failure);
}

function gaveUp({ facts }: VerifiedManifest, failures: ReadonlyMap<Holder, Failure>): Failure {
  const reasons = [...failures.values()];
  const isDamage = reasons.length > 0 && reasons.every(({ kind }) => kind === 'damaged');
  const why = reasons.map((failure) => failure.message).join('; ');
  return new Failure(isDamage ? 'damaged' : 'unreachable', `${facts.name} could not be fetched: ${why}`, {
    hint: isDamage ? 'Choose another backup.' : 'Try again when a peer that holds it can be reached.',
  });
}
