import { Failure } from '../../mesh/terms/failure.js';

const day = 86_400_000;
/** Milliseconds between two runs beyond which the clock is doubted before it decides what is old. */
const longestPause = 30 * day;
/** Milliseconds that a clock may be set back. */
const longestStepBack = day;
/** Milliseconds for which a jump is doubted, from when the run began that met it: less than from one night to the next. */
const doubt = 20 * 3_600_000;
const hint =
  'If the clock is wrong, set it right before the next night. If it is right, that removes them; where no nights are scheduled, ' +
  'run `anemone-peer backup` again tomorrow.';

/** Milliseconds since 1970, by the clock of this server then. */
export interface PastRun {
  readonly startedAtMs: number;
  readonly finishedAtMs: number;
}

/**
 * Why nothing should be removed by this clock now: since the last run, or between or in runs of the last {@link doubt}, it has
 * jumped, or the server was off for very long. A clock that is a year ahead would make every backup old enough to go. So a
 * person has a night to set the clock right, whoever asks for a run meanwhile, and a server that was merely off removes
 * tomorrow what it keeps today. What damages the history may set the clock as well, as a power cut does: so much of a new
 * history is needed that a jump would show in it.
 * @param now milliseconds since 1970
 * @param runs what past runs told, oldest first
 * @param isCut whether there were runs before these that are lost
 */
export function strangeTime(now: number, runs: readonly PastRun[], isCut: boolean): Failure | null {
  let later = now;
  for (const moment of runs.flatMap(({ startedAtMs, finishedAtMs }) => [startedAtMs, finishedAtMs]).reverse()) {
    if (later - moment > longestPause || moment - later > longestStepBack) return doubted(later, moment, later === now);
    if (now - moment >= doubt) return null;
    later = moment;
  }
  if (!isCut) return null;
  return new Failure(
    'failed',
    'no run is known that is older than 20 hours, though this server is: its history was damaged or lost, or no night was ' +
      'scheduled. No old backups are removed this time',
    { hint },
  );
}

function doubted(later: number, earlier: number, isNow: boolean): Failure {
  const count = Math.round(Math.abs(later - earlier) / day);
  const days = `${count} day${count === 1 ? '' : 's'}`;
  const [pause, stepBack] = isNow
    ? [`the last run was ${days} ago`, `the last run is ${days} in the future`]
    : [`${days} passed between two of the last runs`, `it was set back by ${days} between two of the last runs`];
  const what = later > earlier ? pause : stepBack;
  return new Failure('failed', `by the clock of this server ${what}: no old backups are removed this time`, { hint });
}
