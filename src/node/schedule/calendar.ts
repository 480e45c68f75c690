import { createHash } from 'node:crypto';
import { Cron } from 'croner';
import { Failure } from '../../mesh/terms/failure.js';
import { wallTime } from '../../mesh/terms/wall-time.js';

/*
 * When runs are due. Times are milliseconds since 1970; patterns are cron's, read in a time zone.
 *
 * A night happens exactly once, whatever daylight saving does to it. Where 02:30 does not exist, because the clock goes
 * from 02:00 to 03:00, the run is due at the moment of the change. Where 23:30 does not exist, because the clock goes from 23:00
 * to the next day, croner passes over the night: it is due when it would have been by the former clock. Where 02:30 comes twice,
 * it is due the first time only.
 * Patterns that name every hour or minute, such as every 30 minutes, follow elapsed time through the hour that repeats.
 */

/**
 * The first scheduled moment later than `after`, or null when the pattern never comes again.
 * @throws Failure `config` when the pattern or the time zone cannot be read
 */
export function nextRun(pattern: string, timezone: string, after: number): number | null {
  return calculate(pattern, timezone, (cron) => {
    const next = cron.nextRun(new Date(after));
    const skipped = skippedAfter(cron.previousRuns(1, new Date(after + 1))[0], pattern, timezone);
    return skipped !== null && skipped.getTime() > after && (next === null || skipped < next) ? skipped : next;
  });
}

/**
 * The last scheduled moment at or before `until`, or null when there was none.
 * @throws Failure `config`
 */
export function previousRun(pattern: string, timezone: string, until: number): number | null {
  return calculate(pattern, timezone, (cron) => {
    const previous = cron.previousRuns(1, new Date(until + 1))[0];
    const skipped = skippedAfter(previous, pattern, timezone);
    return skipped !== null && skipped.getTime() <= until ? skipped : (previous ?? null);
  });
}

/**
 * The newest scheduled moment after `lastSuccess` that has passed without a run. Older ones are not told: one run now makes
 * up for all of them.
 * @param lastSuccess when the last run that saved something began
 * @throws Failure `config`
 */
export function missedRun(pattern: string, timezone: string, lastSuccess: number, now: number): number | null {
  const latest = previousRun(pattern, timezone, now);
  return latest !== null && latest > lastSuccess ? latest : null;
}

/**
 * By how many milliseconds a server starts later than scheduled, so that a mesh does not push in the same second. It
 * depends on the server and the scheduled moment only, so it can be known in advance.
 * @param jitter seconds; the answer is below it
 */
export function jitterOf(hostname: string, moment: number, jitter: number): number {
  const day = new Date(moment).toISOString().slice(0, 10);
  const draw = createHash('sha256').update(`${hostname} ${day}`).digest().readUInt32BE(0) / 2 ** 32;
  return Math.floor(draw * jitter) * 1000;
}

/** The scheduled moment after this one by the clock as it was then, if that was put forward in between; else null. */
function skippedAfter(previous: Date | undefined, pattern: string, timezone: string): Date | null {
  if (previous === undefined) return null;
  const before = utcOffset(previous, timezone);
  const moment = new Cron(pattern, { utcOffset: before, paused: true }).nextRun(previous);
  return moment !== null && utcOffset(moment, timezone) > before ? moment : null;
}

/** By how many minutes the clock of a time zone is ahead of UTC. */
function utcOffset(moment: Date, timezone: string): number {
  return Math.round((wallTime(timezone, moment.getTime()) - moment.getTime()) / 60_000);
}

function calculate(pattern: string, timezone: string, ask: (cron: Cron) => Date | null): number | null {
  try {
    return ask(new Cron(pattern, { timezone, paused: true }))?.getTime() ?? null;
  } catch (cause) {
    throw new Failure('config', `the schedule ${JSON.stringify(pattern)} in ${timezone} cannot be read`, {
      cause,
      hint: 'A schedule is a cron pattern such as "0 2 * * *", and a time zone a name such as Europe/Paris.',
    });
  }
}
