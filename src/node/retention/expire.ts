import type { KeepRules } from '../../mesh/config/config.js';

/** A backup as the policy sees it. */
export interface Dated {
  readonly name: string;
  /** Milliseconds since 1970, by the clock that the rules count by. */
  readonly time: number;
  /** As its owner signed it. */
  readonly sequence: number;
}

export type KeepReason =
  /** There always is one that stays. */
  | 'newest'
  | 'last'
  | 'daily'
  | 'weekly'
  | 'monthly'
  /** Younger than the minimum. */
  | 'minimum days'
  /** Its time is yet to come, so some clock was wrong: it neither counts nor goes. */
  | 'future';

export interface Verdict {
  readonly keep: readonly { readonly name: string; readonly reasons: readonly KeepReason[] }[];
  readonly remove: readonly { readonly name: string }[];
}

const day = 86_400_000;

/**
 * Which backups of one owner and set stay; both lists are newest first. Pure: it knows nothing of disks.
 *
 * A rule counts the days, ISO weeks or months that have a backup, back from the newest, and keeps the newest backup of
 * each. A backup that any rule keeps stays, and so does the newest of all, whatever the rules say. Newest is both the one
 * that came last and the one with the highest sequence: after an outage the newest is delivered before older ones.
 * @param now milliseconds since 1970
 * @param timezone IANA name: where days, weeks and months begin
 */
export function expire(backups: readonly Dated[], rules: KeepRules, now: number, timezone = 'UTC'): Verdict {
  const sorted = [...backups].sort((a, b) => b.time - a.time || (a.name < b.name ? 1 : -1));
  const past = sorted.filter(({ time }) => time <= now);
  const future = sorted.slice(0, sorted.length - past.length);
  const dateOf = calendar(timezone);
  const counters = [
    counter('last', rules.keepLast, (_, index) => index),
    counter('daily', rules.keepDaily, ({ time }) => dateOf(time).day),
    counter('weekly', rules.keepWeekly, ({ time }) => dateOf(time).week),
    counter('monthly', rules.keepMonthly, ({ time }) => dateOf(time).month),
  ];
  const keep: { name: string; reasons: KeepReason[] }[] = future.map(({ name }) => ({ name, reasons: ['future'] }));
  const remove: { name: string }[] = [];
  const most = past.reduce((highest, { sequence }) => Math.max(highest, sequence), 0);
  const highest = past.findIndex(({ sequence }) => sequence === most);
  for (const [index, backup] of past.entries()) {
    const reasons: KeepReason[] = index === 0 || index === highest ? ['newest'] : [];
    for (const count of counters) reasons.push(...count(backup, index));
    if (now - backup.time < rules.minimumDays * day) reasons.push('minimum days');
    if (reasons.length > 0) keep.push({ name: backup.name, reasons });
    else remove.push({ name: backup.name });
  }
  return { keep, remove };
}

/** Gives its reason for the first backup of each of the first `limit` periods. Backups come newest first. */
function counter(
  reason: KeepReason,
  limit: number,
  periodOf: (backup: Dated, index: number) => number,
): (backup: Dated, index: number) => KeepReason[] {
  let left = limit;
  let current: number | null = null;
  return (backup, index) => {
    if (left === 0) return [];
    const period = periodOf(backup, index);
    if (period === current) return [];
    current = period;
    left -= 1;
    return [reason];
  };
}

/** Numbers days, ISO weeks (which begin on Monday) and months as people in a time zone count them. */
function calendar(timezone: string): (time: number) => { day: number; week: number; month: number } {
  const format = new Intl.DateTimeFormat('en-US', {
    timeZone: timezone,
    calendar: 'gregory',
    year: 'numeric',
    month: 'numeric',
    day: 'numeric',
  });
  return (time) => {
    const parts = new Map(format.formatToParts(time).map(({ type, value }) => [type, Number(value)]));
    const [year = 0, month = 0, date = 0] = [parts.get('year'), parts.get('month'), parts.get('day')];
    const days = Date.UTC(year, month - 1, date) / day;
    // 1970 began on a Thursday.
    return { day: days, week: Math.floor((days + 3) / 7), month: year * 12 + month };
  };
}
