import type { VerifiedManifest } from '../../../mesh/manifest/manifest.js';
import { Failure } from '../../../mesh/terms/failure.js';
import type { Holder } from '../../survey/holders.js';
import type { DownloadOptions } from './arrival.js';
import { silentAbout } from './given-up.js';
import { type LeafHashes, leavesOf, takeLeafHashes } from './leaf-hashes.js';
import { type Pace, watchRate } from './watch-rate.js';

/** A holder that sends not one byte of hashes in this time is not waited for alone: the next one is asked as well. */
const prompt: Pace = { window: 3_000, least: 1 };
/** Milliseconds. Nor is one whose hashes are not complete by then: it may trickle them for hours. */
const patience = 10_000;

/**
 * Asks the holders for the hashes of a backup's leaves, one after the other: the next one when one has none, lies, is
 * silent, or takes long. The first that are proven are taken, and nobody else goes on then. A holder that lied, or was
 * silent while another one answered, is named; the silent one may still be asked for bytes, where nobody waits for it
 * either.
 * @param failures why holders were given up; those found here are added
 * @returns null when nobody has them
 * @throws Failure `interrupted`
 */
export async function findLeafHashes(
  manifest: VerifiedManifest,
  holders: readonly Holder[],
  failures: Map<Holder, Failure>,
  options: DownloadOptions,
): Promise<LeafHashes | null> {
  if (leavesOf(manifest) === 0) return null;
  const givers = holders.filter((holder): holder is Giver => holder.leaves !== undefined);
  const search: Search = { manifest, options, silent: new Set(), over: new AbortController(), found: null };
  const giveUp = (holder: Holder, why: Failure): void => {
    failures.set(holder, why);
    options.dropped(holder, why);
  };
  const stop = (): void => search.over.abort();
  options.signal?.addEventListener('abort', stop, { once: true });
  if (options.signal?.aborted) stop();
  try {
    const asked: Promise<void>[] = [];
    for (const holder of givers) {
      if (search.over.signal.aborted) break;
      await new Promise<void>((resolve) => {
        asked.push(
          ask(search, holder, resolve)
            .then((lie) => lie !== null && giveUp(holder, lie))
            .then(() => resolve()),
        );
      });
    }
    await Promise.all(asked);
  } finally {
    options.signal?.removeEventListener('abort', stop);
  }
  const { found, silent } = search;
  if (options.signal?.aborted) {
    await found?.close();
    throw new Failure('interrupted', 'interrupted');
  }
  if (found !== null) for (const holder of silent) giveUp(holder, silentAbout(holder, manifest));
  return found;
}

type Giver = Holder & Required<Pick<Holder, 'leaves'>>;

interface Search {
  readonly manifest: VerifiedManifest;
  readonly options: DownloadOptions;
  /** Who was asked and has sent nothing. */
  readonly silent: Set<Holder>;
  /** Aborts when nobody needs to go on. */
  readonly over: AbortController;
  found: LeafHashes | null;
}

/** @param askNext told when it is time to ask the next one @returns why the holder lies, if it does */
async function ask(search: Search, holder: Giver, askNext: () => void): Promise<Failure | null> {
  const { manifest, options, silent, over } = search;
  const stop = new AbortController();
  const abort = (): void => stop.abort();
  over.signal.addEventListener('abort', abort, { once: true });
  const waitNoLonger = (): void => {
    silent.add(holder);
    askNext();
  };
  const cancel = options.clock.after(patience, askNext);
  try {
    const sent = holder.leaves(manifest.facts.name, stop.signal);
    const heard = watchRate(sent, options.clock, waitNoLonger, prompt);
    const hashes = watchRate(heard, options.clock, abort);
    const proven = await takeLeafHashes(manifest, hashes, holder.described, options.folder);
    silent.delete(holder);
    if (search.found !== null) await proven.close();
    else search.found = proven;
    over.abort();
    return null;
  } catch (thrown) {
    const failure = Failure.from(thrown, holder.described);
    if (failure.kind === 'damaged') silent.delete(holder);
    // A holder that has no hashes, or is not there, shows that again when it is asked for bytes.
    return failure.kind === 'damaged' ? failure : null;
  } finally {
    cancel();
    over.signal.removeEventListener('abort', abort);
  }
}
