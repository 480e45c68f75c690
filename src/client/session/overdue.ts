import { Cron } from 'croner';
import type { Config } from '../../mesh/config/config.js';

/** Milliseconds between runs where none is scheduled. */
const longestOnRequest = 7 * 86_400_000;

/** A last run that began before this moment is too long ago: two were due since, or where none is scheduled, a week has passed. */
export function overdueBefore({ backup }: Pick<Config, 'backup'>, now: number): number {
  const { schedule, timezone } = backup;
  if (schedule === null) return now - longestOnRequest;
  const cron = new Cron(schedule, { paused: true, timezone, mode: '5-or-6-parts' });
  return cron.previousRuns(2, new Date(now))[1]?.getTime() ?? 0;
}
