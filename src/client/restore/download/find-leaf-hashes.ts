import { hashSize, leafSize } from '../../../mesh/manifest/digest-tree.js';
import { type LeafHashes, takeLeafHashes } from '../../../mesh/manifest/leaf-hashes.js';
import type { VerifiedManifest } from '../../../mesh/manifest/manifest.js';
import { withoutFirst } from '../../../mesh/terms/bytes.js';
import { Failure } from '../../../mesh/terms/failure.js';
import type { Holder } from '../../survey/holders.js';
import type { DownloadOptions } from './download-options.js';
import { gaveUp, silentAbout, tooSlow } from './given-up.js';
import { pauseAfterBreak } from './pause.js';
import { type Pace, watchRate } from './watch-rate.js';

/** A holder that sends not one byte of hashes in this time is not waited for alone: the next one is asked as well. */
const prompt: Pace = { window: 3_000, least: 1 };
/** Milliseconds. Nor is one whose hashes are not complete by then: it may trickle them for hours. */
const patience = 10_000;
/** How often in a row a holder is asked again in vain: its link may only have broken, or it has to read the backup first. */
const mostInVain = 3;

/**
 * Asks the holders for the hashes of a backup's leaves, one after the other: the next one when one has none, lies, is
 * silent, or takes long. The first that are proven are taken, and nobody else goes on then. A holder that lied, or was
 * silent while another one answered, is named; the silent one may still be asked for bytes, where nobody waits for it
 * either.
 * @param failures why holders were given up; those found here are added
 * @throws Failure as `download` does, when nobody gives them
 */
export async function findLeafHashes(
  manifest: VerifiedManifest,
  holders: readonly Holder[],
  failures: Map<Holder, Failure>,
  options: DownloadOptions,
): Promise<LeafHashes> {
  const isOneOfSeveral = holders.length > 1;
  const over = new AbortController();
  const signal = AbortSignal.any([over.signal, options.signal]);
  const search: Search = {
    manifest,
    options,
    isOneOfSeveral,
    silent: new Set(),
    over,
    signal,
    found: null,
    broken: null,
  };
  /** Why those who do not lie have none to give: it counts when nobody has. */
  const without = new Map<Holder, Failure>();
  const giveUp = (holder: Holder, why: Failure): void => {
    failures.set(holder, why);
    options.dropped(holder, why);
  };
  const asked: Promise<void>[] = [];
  for (const holder of holders) {
    if (signal.aborted) break;
    // Until this one is done with, or it is time to ask the next one beside it.
    await new Promise<void>((goOn) => {
      const askNext = (): void => goOn();
      const asking = ask(search, holder, askNext).then((failure) => {
        if (failure?.kind === 'damaged') giveUp(holder, failure);
        else if (failure !== null) without.set(holder, failure);
      });
      asked.push(asking.finally(askNext));
    });
  }
  await Promise.all(asked);
  const { found, broken, silent } = search;
  if (options.signal.aborted) {
    await found?.close();
    throw new Failure('interrupted', 'interrupted');
  }
  if (broken !== null) {
    await found?.close();
    throw broken;
  }
  if (found === null) throw gaveUp(manifest, new Map([...failures, ...without]));
  for (const holder of silent) giveUp(holder, silentAbout(holder, manifest));
  return found;
}

interface Search {
  readonly manifest: VerifiedManifest;
  readonly options: DownloadOptions;
  readonly isOneOfSeveral: boolean;
  /** Who was asked and has sent nothing. */
  readonly silent: Set<Holder>;
  readonly over: AbortController;
  /** Aborts when nobody needs to go on: the search is over, or the user stops it. */
  readonly signal: AbortSignal;
  found: LeafHashes | null;
  /** Why this disk does not take the hashes. */
  broken: Failure | null;
}

/**
 * Asks one holder, and again where that may help: for what has not come yet.
 * @param askNext told when it is time to ask the next one
 * @returns why it gives none; null also when that does not matter any more
 */
async function ask(search: Search, holder: Holder, askNext: () => void): Promise<Failure | null> {
  const { manifest, options, silent, over, signal } = search;
  const size = Math.ceil(manifest.facts.size / leafSize) * hashSize;
  /** Why it answers no more, which is no fault of the disk that the hashes are written to. */
  const answer: { failure: Failure | null } = { failure: null };
  async function* hashes(): AsyncGenerator<Uint8Array> {
    let taken = 0;
    for (let breaks = 1, inVain = 0; taken < size; breaks += 1) {
      const before = taken;
      try {
        const asked = askOnce(search, holder, Math.floor(taken / hashSize), askNext);
        for await (const chunk of withoutFirst(taken % hashSize, asked)) {
          taken += chunk.length;
          yield chunk;
        }
        return;
      } catch (thrown) {
        answer.failure = Failure.from(thrown);
        inVain = taken > before ? 0 : inVain + 1;
        if (!answer.failure.retryable || inVain > mostInVain || signal.aborted) throw thrown;
        askNext();
        await pauseAfterBreak(breaks, options.clock, signal);
        answer.failure = null;
      }
    }
  }
  try {
    const proven = await takeLeafHashes(manifest, hashes(), holder.described, options.folder);
    silent.delete(holder);
    if (search.found !== null) await proven.close();
    else search.found = proven;
    over.abort();
    return null;
  } catch (thrown) {
    const failure = answer.failure ?? Failure.from(thrown);
    if (failure.kind === 'damaged') silent.delete(holder);
    else if (answer.failure === null && search.found === null) {
      search.broken = failure;
      over.abort();
    }
    return signal.aborted ? null : failure;
  }
}

/** @param first the index of the leaf to begin with */
async function* askOnce(
  search: Search,
  holder: Holder,
  first: number,
  askNext: () => void,
): AsyncGenerator<Uint8Array> {
  const { manifest, options, isOneOfSeveral, silent, signal } = search;
  const slow = new AbortController();
  const cancel = options.clock.after(patience, askNext);
  const waitNoLonger = (): void => {
    silent.add(holder);
    askNext();
  };
  const giveUpIfSlow = (): void => {
    if (isOneOfSeveral) slow.abort(tooSlow(holder, manifest));
  };
  try {
    const sent = holder.leaves(manifest.facts.name, first, AbortSignal.any([signal, slow.signal]));
    // Two deadlines: after the first one the next holder is asked as well, after the second this one is given up.
    const waitedFor = watchRate(sent, options.clock, waitNoLonger, prompt);
    yield* watchRate(waitedFor, options.clock, giveUpIfSlow);
  } catch (thrown) {
    const { reason } = slow.signal;
    throw reason instanceof Failure ? reason : Failure.from(thrown, holder.described);
  } finally {
    cancel();
  }
}
