import type { ListPage, ListQuestion } from '../../mesh/peers/list-backups.js';
import type { Clock } from '../../mesh/terms/clock.js';
import { Failure } from '../../mesh/terms/failure.js';
import type { Examiner } from './examine.js';
import type { Holder } from './holders.js';

export interface AskOptions {
  readonly clock: Clock;
  /** Milliseconds that each holder has for all answers to the questions that it is asked at one time. */
  readonly deadline: number;
  readonly examiner: Examiner;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Asks one holder, one question after the other, and hands over each page of its answers when it comes.
 * @returns why it did not answer them all; null when it did
 */
export async function askHolder(
  holder: Holder,
  questions: readonly ListQuestion[],
  { clock, deadline, signal }: AskOptions,
  take: (page: ListPage) => void,
): Promise<Failure | null> {
  const late = new AbortController();
  const cancel = clock.after(deadline, () => late.abort());
  try {
    const stop = signal === undefined ? late.signal : AbortSignal.any([signal, late.signal]);
    for (const question of questions) {
      for await (const page of holder.list(question, stop)) take(page);
    }
    return null;
  } catch (thrown) {
    const seconds = deadline / 1000;
    return late.signal.aborted
      ? new Failure('timeout', `${holder.described} did not finish its list within ${seconds} s`, { cause: thrown })
      : Failure.from(thrown, holder.described);
  } finally {
    cancel();
  }
}
