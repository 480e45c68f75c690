import { Failure } from '../../mesh/terms/failure.js';

const day = 86_400_000;
/** Milliseconds between two runs beyond which the clock is doubted before it decides what is old. */
const longestPause = 30 * day;
/** Milliseconds that a clock may be set back. */
const longestStepBack = day;

/**
 * Why nothing should be removed by this clock tonight: since the last run it has jumped, or the server was off for very
 * long. A clock that is a year ahead would make every backup old enough to go. The next run finds this one as its last, so
 * a person has a night to set the clock right, and a server that was merely off removes tomorrow what it keeps today.
 * @param now milliseconds since 1970
 * @param lastRun when the last run ended, by the same clock; undefined for none
 */
export function strangeTime(now: number, lastRun: number | undefined): Failure | null {
  if (lastRun === undefined || (now - lastRun <= longestPause && lastRun - now <= longestStepBack)) return null;
  const count = Math.round(Math.abs(now - lastRun) / day);
  const days = `${count} day${count === 1 ? '' : 's'}`;
  const what = now > lastRun ? `the last run was ${days} ago` : `the last run is ${days} in the future`;
  return new Failure('failed', `by the clock of this server ${what}: no old backups are removed this time`, {
    hint: 'If the clock is wrong, set it right before the next run. If it is right, nothing is to be done.',
  });
}
