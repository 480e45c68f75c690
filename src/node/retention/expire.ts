import type { KeepRules } from '../../mesh/config/config.js';

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
 * that came last and the one with the highest sequence: after an outage the newest is delivered before older ones.
 *
 * When it came tells nothing of a backup that came out of its turn. A rule counts it for the day that its owner says, with all
 * others, and keeps the first that came where no other stands for the period. So whoever has the owner's key takes no place from
 * what came before.
 * @param now milliseconds since 1970
 * @param timezone IANA name: where days, weeks and months begin
 */
export function expire(backups: readonly Dated[], rules: KeepRules, now: number, timezone = 'UTC'): Verdict {
  const strays = outOfTurn(backups, now);
  const timeOf = (backup: Dated): number => (strays.has(backup) ? backup.createdAt : backup.time);
  const sorted = [...backups].sort((a, b) => timeOf(b) - timeOf(a) || (a.name < b.name ? 1 : -1));
  const past = sorted.filter((backup) => timeOf(backup) <= now);
  const inTurn = past.filter((backup) => !strays.has(backup));
  const reasons = new Map<Dated, KeepReason[]>(past.map((backup) => [backup, []]));
  const keep = (backup: Dated | undefined, reason: KeepReason): void => {
    if (backup !== undefined && !reasons.get(backup)?.includes(reason)) reasons.get(backup)?.push(reason);
  };
  keep(inTurn[0] ?? past[0], 'newest');
  keep(
    maximum(past, ({ sequence }) => sequence),
    'newest',
  );
  const dateOf = calendar(timezone);
  const periods: [KeepReason, number, (backup: Dated, index: number) => number][] = [
    ['last', rules.keepLast, (_, index) => index],
    ['daily', rules.keepDaily, (backup) => dateOf(timeOf(backup)).day],
    ['weekly', rules.keepWeekly, (backup) => dateOf(timeOf(backup)).week],
    ['monthly', rules.keepMonthly, (backup) => dateOf(timeOf(backup)).month],
  ];
  for (const [reason, limit, periodOf] of periods) {
    for (const [newest] of grouped(inTurn, periodOf).slice(0, limit)) keep(newest, reason);
    for (const group of grouped(past, periodOf).slice(0, limit)) {
      if (group.every((backup) => strays.has(backup)))
        keep(
          maximum(group, ({ time }) => -time),
          reason,
        );
    }
  }
  for (const backup of past) {
    if (now - Math.max(backup.time, timeOf(backup)) < rules.minimumDays * day) keep(backup, 'minimum days');
  }
  const verdicts = sorted.map((backup) => ({ name: backup.name, reasons: reasons.get(backup) ?? ['future' as const] }));
  return {
    keep: verdicts.filter(({ reasons }) => reasons.length > 0),
    remove: verdicts.filter(({ reasons }) => reasons.length === 0).map(({ name }) => ({ name })),
  };
}

/**
 * The backups that came at another time than they were made: after one with a higher sequence, as what was owed for long, or was
 * healed, or is given to a peer that lost its disk; or before, by a clock that was behind. Not all that came late: the clock
 * of an owner may be years behind.
 */
function outOfTurn(backups: readonly Dated[], now: number): ReadonlySet<Dated> {
  const strays = new Set<Dated>();
  let highest = Number.NEGATIVE_INFINITY;
  for (const backup of backups.toSorted((a, b) => a.time - b.time || a.sequence - b.sequence)) {
    const { time, createdAt, sequence } = backup;
    const isLate = time - createdAt > day && sequence < highest;
    const isEarly = createdAt - time > day && createdAt <= now;
    if (isLate || isEarly) strays.add(backup);
    highest = Math.max(highest, sequence);
  }
  return strays;
}

function maximum<T>(list: readonly T[], measure: (item: T) => number): T | undefined {
  return list.reduce<T | undefined>(
    (most, item) => (most === undefined || measure(item) > measure(most) ? item : most),
    undefined,
  );
}

/** Backups that come newest first, put together by period. */
function grouped(backups: readonly Dated[], periodOf: (backup: Dated, index: number) => number): Dated[][] {
  const groups = new Map<number, Dated[]>();
  for (const [index, backup] of backups.entries()) {
    const period = periodOf(backup, index);
    const group = groups.get(period);
    if (group === undefined) groups.set(period, [backup]);
    else group.push(backup);
  }
  return [...groups.values()];
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
