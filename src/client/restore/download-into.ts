import { constants } from 'node:fs';
import { open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Failure, type FailureKind } from '../../mesh/terms/failure.js';
import type { Context } from '../context.js';
import type { Received } from './arrival.js';
import type { Candidate } from './choose.js';
import { download } from './download.js';
import type { SealedFile } from './sealed-file.js';

/** A backup that lies in the folder of a restore under a temporary name. */
export interface Downloaded extends SealedFile {
  readonly received: Received;
  /** Closes and removes it. */
  discard(): Promise<void>;
}

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
  const { facts, digest } = manifest;
  const path = join(folder, `.anemone-restore-${digest.toString('hex').slice(0, 16)}.part`);
  const file = await open(path, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o600);
  const discard = async (): Promise<void> => {
    await file.close();
    await rm(path, { force: true });
  };
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
    return { label: facts.name, file, manifest, ageIdentity, received, discard };
  } catch (thrown) {
    const failure = Failure.from(thrown);
    if (resumable && cuts.has(failure.kind) && (await file.stat()).size > 0) {
      await file.close();
      screen.note(`What arrived stays in ${folder}; the same command goes on from there.`);
    } else await discard();
    throw failure;
  } finally {
    progress.end();
  }
}
