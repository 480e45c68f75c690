import { formatByteSize } from '../../../mesh/terms/byte-size.js';
import { Failure, type FailureKind } from '../../../mesh/terms/failure.js';
import type { Context } from '../../session/context.js';
import type { Candidate } from '../../survey/found.js';
import type { SealedFile } from '../opening/sealed-file.js';
import { download } from './download.js';
import type { Received } from './download-options.js';
import { openPartFile } from './part-file.js';
import { partPath } from './parts.js';

/** A backup that lies in the folder of a restore under a temporary name. */
export interface Downloaded extends SealedFile {
  readonly received: Received;
  /** Closes and removes it. */
  discard(): Promise<void>;
  /** Closes it, and leaves it to the next attempt where fetching it again would take a while. */
  leave(): Promise<void>;
}

/** Bytes that are fetched again within seconds, on most links. */
const soonFetched = 16 * 2 ** 20;

/** Ends after which the bytes that arrived are of use to the next attempt. */
const cuts: ReadonlySet<FailureKind> = new Set(['unreachable', 'timeout', 'interrupted']);

/**
 * Downloads a backup into the folder of a restore, under a hidden name. When it is cut off, what arrived stays there and
 * the next attempt goes on with it; after any other failure nothing stays.
 * @param options.resumable whether there will be a next attempt in this folder
 */
export async function downloadInto(
  context: Context,
  { manifest, copies }: Candidate,
  folder: string,
  ageIdentity: string | null,
  { resumable = true }: { readonly resumable?: boolean } = {},
): Promise<Downloaded> {
  const { screen, clock, signal } = context;
  const { facts } = manifest;
  const part = await openPartFile(partPath(folder, manifest));
  const { file, path, discard } = part;
  const keep = async (): Promise<void> => {
    const left = await part.leave();
    if (left === 0) return;
    screen.note(
      `What arrived (${formatByteSize(left)}) stays in ${path}: the same command goes on with it. If you give up, remove it.`,
    );
  };
  const leave = (): Promise<void> => (resumable && facts.size >= soonFetched ? keep() : discard());
  const progress = screen.progress();
  const holders = copies.map(({ holder }) => holder);
  try {
    const received = await download(manifest, holders, file, {
      clock,
      folder,
      progress: (bytes) => progress.update(facts.name, bytes, facts.size),
      dropped: (_holder, why) => screen.warn(why.message),
      signal,
    });
    return { label: facts.name, file, manifest, ageIdentity, received, discard, leave };
  } catch (thrown) {
    const failure = Failure.from(thrown);
    await (resumable && cuts.has(failure.kind) ? keep() : discard());
    throw failure;
  } finally {
    progress.end();
  }
}
