import { Failure } from '../../../mesh/terms/failure.js';

/** Milliseconds of a unit, also as a list shows it; months and years are counted on the calendar instead. */
const units: Readonly<Record<string, number>> = {
  min: 60_000,
  minute: 60_000,
  h: 3_600_000,
  hour: 3_600_000,
  d: 86_400_000,
  day: 86_400_000,
  week: 7 * 86_400_000,
};

/**
 * Reads a point in time as a person gives it, in milliseconds since 1970: `3 days ago`, `last week`, `yesterday`,
 * `2026-11-01` (the end of that day, in local time), `2026-11-01 14:30` (local), `2026-11-01 14:30:00 UTC` (as `show` prints
 * it), or a full ISO 8601 time such as `2026-11-01T14:30:00Z`.
 * @throws Failure `usage`
 */
export function parseMoment(text: string, now: number): number {
  const typed = text.trim().toLowerCase();
  if (typed === 'now') return now;
  if (typed === 'yesterday') return now - 86_400_000;
  const moment = ago(typed, now) ?? endOfDay(typed) ?? timeOfDay(text.trim().replace(/ utc$/i, 'Z'));
  if (moment === null || Number.isNaN(moment)) {
    throw new Failure('usage', `${JSON.stringify(text.slice(0, 80))} is not a point in time`, {
      hint: 'Give a day (2026-11-01), a time ("2026-11-01 14:30" is local, "2026-11-01 14:30 UTC" is not), or "3 days ago".',
    });
  }
  return moment;
}

function ago(typed: string, now: number): number | null {
  const spelled = typed.replace(/^last (week|month|year)$/, '1 $1 ago').replace(/^an? /, '1 ');
  const [, digits, unit = ''] = /^(\d{1,5}) ?(min|minute|h|hour|d|day|week|month|year)s? ago$/.exec(spelled) ?? [];
  if (digits === undefined) return null;
  const count = Number(digits);
  const length = units[unit];
  if (length !== undefined) return now - count * length;
  const then = new Date(now);
  const day = then.getDate();
  then.setMonth(then.getMonth() - count * (unit === 'year' ? 12 : 1));
  // 31 March less one month is the end of February, not the beginning of March.
  if (then.getDate() !== day) then.setDate(0);
  return then.getTime();
}

function endOfDay(typed: string): number | null {
  const [, year, month, day] = /^(\d{4})-(\d\d)-(\d\d)$/.exec(typed) ?? [];
  if (year === undefined) return null;
  const start = new Date(Number(year), Number(month) - 1, Number(day));
  // A day that does not exist would quietly become another one.
  if (start.getMonth() !== Number(month) - 1 || start.getDate() !== Number(day)) return Number.NaN;
  return new Date(Number(year), Number(month) - 1, Number(day) + 1).getTime() - 1;
}

function timeOfDay(text: string): number | null {
  const iso = /^(\d{4}-\d\d-\d\d)[T ]\d\d:\d\d(:\d\d(\.\d{1,3})?)?(Z|[+-]\d\d:\d\d)?$/i;
  const [, day] = iso.exec(text) ?? [];
  if (day === undefined) return null;
  return Number.isNaN(endOfDay(day)) ? Number.NaN : Date.parse(text.replace(' ', 'T'));
}
