import { createHash } from 'node:crypto';
import { Cron } from 'croner';
import { Failure } from '../../mesh/terms/failure.js';

/*
 * When runs are due. Times are milliseconds since 1970; patterns are cron's, read in a time zone.
 *
 * A night happens exactly once, whatever daylight saving does to it. Where 02:30 does not exist, because the clock goes
 * from 02:00 to 03:00, the run is due at the moment of the change. Where 02:30 comes twice, it is due the first time only.
 * Patterns that name every hour or minute, such as every 30 minutes, follow elapsed time through the hour that repeats.
 */

/**
 * The first scheduled moment later than `after`, or null when the pattern never comes again.
 * @throws Failure `config` when the pattern or the time zone cannot be read
 */
export function nextRun(pattern: string, timezone: string, after: number): number | null {
  return calculate(pattern, timezone, (cron) => cron.nextRun(new Date(after)));
}

/**
 * The last scheduled moment at or before `until`, or null when there was none.
 * @throws Failure `config`
 */
export function previousRun(pattern: string, timezone: string, until: number): number | null {
  return calculate(pattern, timezone, (cron) => cron.previousRuns(1, new Date(until + 1))[0] ?? null);
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
