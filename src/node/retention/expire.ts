import type { KeepRules } from '../../mesh/config/config.js';
import { wallTime } from '../../mesh/terms/wall-time.js';

/** A backup as the policy sees it. */
export interface Dated {
  readonly name: string;
  /** Milliseconds since 1970, by the clock that the rules count by. */
  readonly time: number;
  /** By the owner's clock, milliseconds since 1970. */
  readonly createdAt: number;
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
 * that came last, in time, and the one with the highest sequence: after an outage the newest is delivered before older ones.
 *
 * Of a {@link isStray stray} nobody knows which day it is of: when it came may tell nothing, and its owner may have a wrong
 * clock. It stays if a rule keeps it by either, where no other backup stands for that day, week or month. So strays keep each
 * other, and take no place from others: whoever has the owner's key can date a backup as it likes.
 * @param now milliseconds since 1970
 * @param timezone IANA name: where days, weeks and months begin
 */
export function expire(backups: readonly Dated[], rules: KeepRules, now: number, timezone = 'UTC'): Verdict {
  const byReceipt = newestFirst(backups, ({ time }) => time);
  const past = byReceipt.filter(({ time }) => time <= now);
  const strays = new Set(past.filter((backup) => isStray(backup, now)));
  const inTurn = past.filter((backup) => !strays.has(backup));
  const madeAt = (backup: Dated): number => (strays.has(backup) ? backup.createdAt : backup.time);
  const byMaking = newestFirst(past, madeAt);
  const reasons = new Map<Dated, KeepReason[]>(past.map((backup) => [backup, []]));
  const keep = (backup: Dated | undefined, reason: KeepReason): void => {
    if (backup !== undefined && !reasons.get(backup)?.includes(reason)) reasons.get(backup)?.push(reason);
  };
  keep(inTurn[0], 'newest');
  keep(
    maximum(past, ({ sequence }) => sequence),
    'newest',
  );
  for (const { reason, limit, periodOf } of periodsOf(rules, timezone)) {
    const groups = (list: readonly Dated[], timeOf: (backup: Dated) => number): Dated[][] =>
      groupsOf(list, (backup, index) => periodOf(timeOf(backup), index)).slice(0, limit);
    const ofStrays = (group: readonly Dated[]): boolean => group.every((backup) => strays.has(backup));
    for (const [newest] of groups(inTurn, ({ time }) => time)) keep(newest, reason);
    for (const group of groups(byMaking, madeAt).filter(ofStrays))
      keep(
        maximum(group, ({ time }) => -time),
        reason,
      );
    for (const [newest] of groups(past, ({ time }) => time).filter(ofStrays)) keep(newest, reason);
  }
  for (const backup of past) {
    if (now - Math.max(backup.time, madeAt(backup)) < rules.minimumDays * day) keep(backup, 'minimum days');
  }
  const verdicts = byReceipt.map((backup) => ({
    name: backup.name,
    reasons: reasons.get(backup) ?? ['future' as const],
  }));
  return {
    keep: verdicts.filter(({ reasons }) => reasons.length > 0),
    remove: verdicts.filter(({ reasons }) => reasons.length === 0).map(({ name }) => ({ name })),
  };
}

/**
 * Whether a backup came at another time than it says that it was made: long after, as what was owed for long, was healed, or is
 * given again to a peer that lost its disk; or before, by a clock that was behind.
 */
function isStray({ time, createdAt }: Dated, now: number): boolean {
  return time - createdAt > day || (createdAt - time > day && createdAt <= now);
}

interface Periods {
  readonly reason: KeepReason;
  readonly limit: number;
  /** Numbers the period of a time; `index` is the place of the backup among all, newest first. */
  periodOf(time: number, index: number): number;
}

function periodsOf(rules: KeepRules, timezone: string): Periods[] {
  const dateOf = calendar(timezone);
  return [
    { reason: 'last', limit: rules.keepLast, periodOf: (_, index) => index },
    { reason: 'daily', limit: rules.keepDaily, periodOf: (time) => dateOf(time).day },
    { reason: 'weekly', limit: rules.keepWeekly, periodOf: (time) => dateOf(time).week },
    { reason: 'monthly', limit: rules.keepMonthly, periodOf: (time) => dateOf(time).month },
  ];
}

function newestFirst(backups: readonly Dated[], timeOf: (backup: Dated) => number): Dated[] {
  return backups.toSorted((a, b) => timeOf(b) - timeOf(a) || (a.name < b.name ? 1 : -1));
}

function maximum<T>(list: readonly T[], measure: (item: T) => number): T | undefined {
  return list.reduce<T | undefined>(
    (most, item) => (most === undefined || measure(item) > measure(most) ? item : most),
    undefined,
  );
}

/** Puts together what has the same key, and leaves the order as it is. */
export function groupsOf<T>(list: readonly T[], keyOf: (item: T, index: number) => string | number): T[][] {
  const groups = new Map<string | number, T[]>();
  for (const [index, item] of list.entries()) {
    const key = keyOf(item, index);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [item]);
    else group.push(item);
  }
  return [...groups.values()];
}

/** Numbers days, ISO weeks (which begin on Monday) and months as people in a time zone count them. */
function calendar(timezone: string): (time: number) => { day: number; week: number; month: number } {
  return (time) => {
    const wall = new Date(wallTime(timezone, time));
    const days = Math.floor(wall.getTime() / day);
    // 1970 began on a Thursday.
    return { day: days, week: Math.floor((days + 3) / 7), month: wall.getUTCFullYear() * 12 + wall.getUTCMonth() };
  };
}
