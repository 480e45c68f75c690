import { describe, expect, it } from 'vitest';
import type { KeepRules } from '../../../src/mesh/config/config.js';
import { type Dated, expire } from '../../../src/node/retention/expire.js';
import { seeded } from '../../faults/random.js';

const none: KeepRules = { keepLast: 0, keepDaily: 0, keepWeekly: 0, keepMonthly: 0, minimumDays: 0 };
const now = '2026-11-30T12:00:00Z'; // a Monday

type Five = [number, number, number, number, number];

interface Case {
  /** Times of the backups; a backup is called by its time. */
  readonly times: readonly string[];
  readonly rules: Partial<KeepRules>;
  readonly keep: readonly string[];
  readonly now?: string;
  readonly timezone?: string;
}

/** The same time of day on each of the days before `now`, the newest first. */
function daily(count: number, end = '2026-11-30', time = 'T01:00:00Z'): string[] {
  return Array.from({ length: count }, (_, back) => {
    const date = new Date(Date.parse(`${end}T00:00:00Z`) - back * 86_400_000);
    return date.toISOString().slice(0, 10) + time;
  });
}

const flood = Array.from({ length: 1000 }, (_, second) => new Date(Date.parse(now) - 3_600_000 + second * 1000))
  .map((time) => time.toISOString())
  .reverse();

const cases: Record<string, Case> = {
  'no backup at all': { times: [], rules: { keepLast: 3 }, keep: [] },
  'the only one stays without any rule': { times: ['2020-01-01T00:00:00Z'], rules: {}, keep: ['2020-01-01T00:00:00Z'] },
  'without any rule the newest stays': { times: daily(5), rules: {}, keep: daily(1) },
  'the last ones': { times: daily(5), rules: { keepLast: 3 }, keep: daily(3) },
  'more to keep than there is': { times: daily(3), rules: { keepLast: 10 }, keep: daily(3) },
  'exactly as many as there are': { times: daily(3), rules: { keepLast: 3 }, keep: daily(3) },
  'the order given does not matter': { times: daily(5).reverse(), rules: { keepLast: 2 }, keep: daily(2) },
  'the newest of each day': {
    times: ['2026-11-30T11:00:00Z', '2026-11-30T01:00:00Z', '2026-11-29T23:59:59Z', '2026-11-29T00:00:00Z'],
    rules: { keepDaily: 2 },
    keep: ['2026-11-30T11:00:00Z', '2026-11-29T23:59:59Z'],
  },
  'a day without a backup does not count': {
    times: ['2026-11-30T01:00:00Z', '2026-11-20T01:00:00Z', '2026-11-10T01:00:00Z', '2026-11-01T01:00:00Z'],
    rules: { keepDaily: 3 },
    keep: ['2026-11-30T01:00:00Z', '2026-11-20T01:00:00Z', '2026-11-10T01:00:00Z'],
  },
  'weeks begin on Monday': {
    times: ['2026-11-30T01:00:00Z', '2026-11-29T01:00:00Z', '2026-11-23T01:00:00Z', '2026-11-22T01:00:00Z'],
    rules: { keepWeekly: 3 },
    keep: ['2026-11-30T01:00:00Z', '2026-11-29T01:00:00Z', '2026-11-22T01:00:00Z'],
  },
  'a week that spans the new year is one week': {
    now: '2027-01-05T12:00:00Z',
    times: ['2027-01-03T01:00:00Z', '2026-12-31T01:00:00Z', '2026-12-28T01:00:00Z', '2026-12-27T01:00:00Z'],
    rules: { keepWeekly: 2 },
    keep: ['2027-01-03T01:00:00Z', '2026-12-27T01:00:00Z'],
  },
  'the newest of each month': {
    times: ['2026-11-30T01:00:00Z', '2026-11-01T01:00:00Z', '2026-10-31T01:00:00Z', '2026-10-01T01:00:00Z'],
    rules: { keepMonthly: 2 },
    keep: ['2026-11-30T01:00:00Z', '2026-10-31T01:00:00Z'],
  },
  'the same month of another year is another month': {
    times: ['2026-11-30T01:00:00Z', '2025-11-30T01:00:00Z', '2024-11-30T01:00:00Z'],
    rules: { keepMonthly: 2 },
    keep: ['2026-11-30T01:00:00Z', '2025-11-30T01:00:00Z'],
  },
  'the 29th of February is a day': {
    now: '2028-03-01T12:00:00Z',
    times: ['2028-03-01T01:00:00Z', '2028-02-29T01:00:00Z', '2028-02-28T01:00:00Z'],
    rules: { keepDaily: 2 },
    keep: ['2028-03-01T01:00:00Z', '2028-02-29T01:00:00Z'],
  },
  'rules add up': {
    times: daily(40),
    rules: { keepLast: 3, keepDaily: 7, keepWeekly: 4, keepMonthly: 2 },
    keep: [...daily(7), '2026-11-22T01:00:00Z', '2026-11-15T01:00:00Z', '2026-10-31T01:00:00Z'],
  },
  'nothing younger than the minimum goes': { times: daily(10), rules: { minimumDays: 7 }, keep: daily(7) },
  'a backup exactly as old as the minimum may go': {
    times: ['2026-11-30T11:00:00Z', '2026-11-23T12:00:00.001Z', '2026-11-23T12:00:00Z'],
    rules: { minimumDays: 7 },
    keep: ['2026-11-30T11:00:00Z', '2026-11-23T12:00:00.001Z'],
  },
  'the newest stays, however old': {
    times: ['2001-01-02T00:00:00Z', '2001-01-01T00:00:00Z'],
    rules: { minimumDays: 7 },
    keep: ['2001-01-02T00:00:00Z'],
  },
  'a flood of one hour takes no day from the days before': {
    times: [...flood, ...daily(7, '2026-11-29')],
    rules: { keepLast: 3, keepDaily: 4 },
    keep: [...flood.slice(0, 3), ...daily(3, '2026-11-29')],
  },
  'a flood is kept while it is young': { times: flood, rules: { keepLast: 3, minimumDays: 7 }, keep: flood },
  'a time in the future neither counts nor goes': {
    times: ['2099-01-01T00:00:00Z', ...daily(5)],
    rules: { keepLast: 2 },
    keep: ['2099-01-01T00:00:00Z', ...daily(2)],
  },
  'future times do not push out what is real': {
    times: ['2099-01-03T00:00:00Z', '2099-01-02T00:00:00Z', '2099-01-01T00:00:00Z', ...daily(3)],
    rules: { keepLast: 1, keepDaily: 1, keepMonthly: 1 },
    keep: ['2099-01-03T00:00:00Z', '2099-01-02T00:00:00Z', '2099-01-01T00:00:00Z', ...daily(1)],
  },
  'a backup of this very moment is not in the future': {
    times: [now, ...daily(2)],
    rules: { keepLast: 1 },
    keep: [now],
  },
  'a time before 1970 is a time': {
    times: ['2026-11-30T01:00:00Z', '1969-12-31T01:00:00Z', '1969-12-29T01:00:00Z', '1969-12-28T01:00:00Z'],
    rules: { keepWeekly: 3 },
    keep: ['2026-11-30T01:00:00Z', '1969-12-31T01:00:00Z', '1969-12-28T01:00:00Z'],
  },
  'days are those of the time zone': {
    timezone: 'Europe/Paris',
    times: ['2026-11-29T23:30:00Z', '2026-11-29T22:30:00Z', '2026-11-28T23:30:00Z', '2026-11-28T22:30:00Z'],
    rules: { keepDaily: 2 },
    keep: ['2026-11-29T23:30:00Z', '2026-11-29T22:30:00Z'],
  },
  'weeks are those of the time zone': {
    timezone: 'America/New_York',
    times: ['2026-11-30T06:00:00Z', '2026-11-30T04:00:00Z', '2026-11-29T12:00:00Z'],
    rules: { keepWeekly: 2 },
    keep: ['2026-11-30T06:00:00Z', '2026-11-30T04:00:00Z'],
  },
  'months are those of the time zone': {
    timezone: 'Pacific/Auckland',
    times: ['2026-11-01T00:00:00Z', '2026-10-31T12:00:00Z', '2026-10-31T10:00:00Z'],
    rules: { keepMonthly: 2 },
    keep: ['2026-11-01T00:00:00Z', '2026-10-31T10:00:00Z'],
  },
  'the day of 25 hours is one day': {
    timezone: 'Europe/Paris',
    times: ['2026-10-26T00:30:00Z', '2026-10-25T22:30:00Z', '2026-10-24T22:00:00Z', '2026-10-24T21:59:59Z'],
    rules: { keepDaily: 3 },
    keep: ['2026-10-26T00:30:00Z', '2026-10-25T22:30:00Z', '2026-10-24T21:59:59Z'],
  },
  'the hour that comes twice is told apart': {
    timezone: 'Europe/Paris',
    times: ['2026-10-25T01:30:00Z', '2026-10-25T00:30:00Z', '2026-10-24T10:00:00Z'],
    rules: { keepDaily: 2 },
    keep: ['2026-10-25T01:30:00Z', '2026-10-24T10:00:00Z'],
  },
  'the day of 23 hours is one day': {
    timezone: 'Europe/Paris',
    times: ['2026-03-29T22:00:00Z', '2026-03-29T21:59:59Z', '2026-03-28T23:00:00Z', '2026-03-28T22:59:59Z'],
    rules: { keepDaily: 3 },
    keep: ['2026-03-29T22:00:00Z', '2026-03-29T21:59:59Z', '2026-03-28T22:59:59Z'],
  },
  'a year of nights with the rules for peers': {
    times: daily(365),
    rules: { keepLast: 3, keepDaily: 7, keepWeekly: 4, keepMonthly: 6, minimumDays: 7 },
    keep: [
      ...daily(7),
      '2026-11-22T01:00:00Z',
      '2026-11-15T01:00:00Z',
      '2026-10-31T01:00:00Z',
      '2026-09-30T01:00:00Z',
      '2026-08-31T01:00:00Z',
      '2026-07-31T01:00:00Z',
      '2026-06-30T01:00:00Z',
    ],
  },
};

function run({ times, rules, timezone, now: moment = now }: Case) {
  const backups = times.map((time) => ({
    name: time,
    time: Date.parse(time),
    createdAt: Date.parse(time),
    sequence: Date.parse(time),
  }));
  return expire(backups, { ...none, ...rules }, Date.parse(moment), timezone);
}

describe('which backups stay', () => {
  it.each(Object.entries(cases))('%s', (_, example) => {
    const verdict = run(example);
    expect(verdict.keep.map(({ name }) => name)).toEqual(example.keep);
    const gone = example.times.filter((time) => !example.keep.includes(time));
    expect(verdict.remove.map(({ name }) => name).sort()).toEqual([...gone].sort());
  });

  it('says why each one stays', () => {
    const rules = { keepLast: 1, keepDaily: 2, keepWeekly: 1, keepMonthly: 1, minimumDays: 2 };
    const times = ['2026-12-24T00:00:00Z', '2026-11-30T01:00:00Z', '2026-11-29T01:00:00Z', '2026-11-28T13:00:00Z'];
    expect(run({ times, rules, keep: [] }).keep).toEqual([
      { name: times[0], reasons: ['future'] },
      { name: times[1], reasons: ['newest', 'last', 'daily', 'weekly', 'monthly', 'minimum days'] },
      { name: times[2], reasons: ['daily', 'minimum days'] },
      { name: times[3], reasons: ['minimum days'] },
    ]);
  });

  it('decides between equal times by name, the same way every time', () => {
    const time = Date.parse('2026-11-30T01:00:00Z');
    const names = ['a', 'c', 'b'];
    const backups = names.map((name) => ({ name, time, createdAt: time, sequence: 1 }));
    expect(expire(backups, { ...none, keepLast: 1 }, Date.parse(now)).keep.map(({ name }) => name)).toEqual(['c']);
    expect(expire(backups.reverse(), { ...none, keepLast: 1 }, Date.parse(now)).keep[0]?.name).toBe('c');
  });

  it('changes nothing when it is asked again about what it kept', () => {
    const rules = { ...none, keepLast: 3, keepDaily: 7, keepWeekly: 4, keepMonthly: 6 };
    const once = run({ times: daily(400), rules, keep: [] });
    expect(run({ times: once.keep.map(({ name }) => name), rules, keep: [] }).remove).toEqual([]);
  });

  it('is the same in any order, and again about what it kept, whatever the backups and the rules', () => {
    const random = seeded(1);
    const latest = Date.parse(now);
    for (let nth = 0; nth < 200; nth += 1) {
      const backups = Array.from({ length: 1 + random.below(15) }, (_, index) => ({
        name: `${random.below(10)}-${index}`,
        time: latest + 86_400_000 - random.below(60) * random.pick([3_600_000, 28_800_000, 86_400_000]),
        createdAt: latest + 86_400_000 - random.below(60) * 86_400_000,
        sequence: 1 + random.below(8),
      }));
      const [keepLast, keepDaily, keepWeekly, keepMonthly, minimumDays] = [4, 4, 3, 3, 3].map(random.below) as Five;
      const rules = { keepLast, keepDaily, keepWeekly, keepMonthly, minimumDays };
      const timezone = random.pick(['UTC', 'Europe/Paris', 'Pacific/Apia']);
      const verdict = expire(backups, rules, latest, timezone);
      const kept = new Set(verdict.keep.map(({ name }) => name));
      expect(kept.size + verdict.remove.length).toBe(backups.length);
      const turned = backups.map((backup) => ({ backup, at: random.next() })).sort((a, b) => a.at - b.at);
      const again = expire(
        turned.map(({ backup }) => backup),
        rules,
        latest,
        timezone,
      );
      expect(again).toEqual(verdict);
      const left = backups.filter(({ name }) => kept.has(name));
      expect(expire(left, rules, latest, timezone).remove).toEqual([]);
    }
  });

  const nights = (first: number, last: number): Dated[] =>
    Array.from({ length: last - first + 1 }, (_, nth) => {
      const createdAt = Date.parse('2026-11-30T01:00:00Z') + (first + nth) * 86_400_000;
      return { name: `night ${first + nth}`, time: createdAt, createdAt, sequence: 1000 + first + nth };
    });
  const cameAt = (backups: readonly Dated[], time: string): Dated[] =>
    backups.toReversed().map((backup, nth) => ({ ...backup, time: Date.parse(time) + nth * 1000 }));
  const keptOf = (backups: readonly Dated[], rules: Partial<KeepRules>): string[] =>
    expire(backups, { ...none, ...rules }, Date.parse(now)).keep.map(({ name }) => name);
  const forPeers = { keepLast: 3, keepDaily: 7, keepWeekly: 4, keepMonthly: 6, minimumDays: 7 };

  it('keeps the last ones of what came newest first after an outage', () => {
    const late = cameAt(nights(-13, 0), '2026-11-30T01:05:00Z');
    const kept = keptOf([...nights(-30, -14), ...late], { keepLast: 2 });
    expect(kept).toEqual(expect.arrayContaining(['night 0', 'night -1']));
    expect(kept.length).toBeLessThanOrEqual(6);
  });

  it.each([
    ['a peer that lost its disk was given again', -200, -10, '2026-11-20T12:00:00Z'],
    ['was healed on one day, and what was made on it', -200, -60, '2026-11-22T02:00:00Z'],
  ])('keeps what %s as if it had been there all the time, night by night', (_, first, last, time) => {
    let held = [...cameAt(nights(first, last), time), ...nights(last + 1, 0)];
    let whole = nights(first, 0);
    for (let night = 1; night <= 60; night += 1) {
      const until = Date.parse(now) + night * 86_400_000;
      const left = (backups: readonly Dated[]): Dated[] => {
        const kept = new Set(expire(backups, { ...none, ...forPeers }, until).keep.map(({ name }) => name));
        return [...backups, ...nights(night, night)].filter(({ name }) => kept.has(name) || name === `night ${night}`);
      };
      held = left(held);
      whole = left(whole);
      expect(held.map(({ name }) => name)).toEqual(expect.arrayContaining(whole.map(({ name }) => name)));
      expect(held.length).toBeLessThanOrEqual(whole.length + 7);
    }
  });

  it('keeps at most two thirds more of an owner of which all comes late, as over a slow link', () => {
    const week = 7 * 86_400_000;
    const late = nights(-280, 0).map((backup) => ({ ...backup, time: backup.time + week / 2 }));
    let held: Dated[] = [];
    for (let end = Date.parse('2026-11-28T12:00:00Z') - 38 * week; end < Date.parse(now); end += week) {
      const here = [...held, ...late.filter(({ time }) => time <= end && time > end - week)];
      const kept = new Set(expire(here, forPeers, end).keep.map(({ name }) => name));
      held = here.filter(({ name }) => kept.has(name));
      // A year of nights that come in time has 14, see above.
      expect(held.length).toBeLessThanOrEqual((5 / 3) * 14);
    }
  });

  it('counts the minimum from when a backup was made that came by a clock that was behind', () => {
    const early = nights(-6, -1).map((backup) => ({ ...backup, time: Date.parse('2026-08-01T00:00:00Z') }));
    expect(keptOf([...early, ...nights(0, 0)], { keepLast: 1, minimumDays: 7 })).toHaveLength(7);
  });

  it('keeps of an owner whose clock stands still what it would keep by when it came', () => {
    const stuck = Date.parse('2020-01-01T00:00:00Z');
    const odd = nights(-20, 0).map((backup) => ({ ...backup, createdAt: stuck }));
    const kept = keptOf(odd, { keepDaily: 7 });
    expect(kept).toEqual(expect.arrayContaining(keptOf(nights(-20, 0), { keepDaily: 7 })));
    expect(kept.length).toBeLessThanOrEqual(8);
  });

  it('does not change the list that it is given', () => {
    const backups = Object.freeze(
      daily(3).map((name) => ({
        name,
        time: Date.parse(name),
        createdAt: Date.parse(name),
        sequence: Date.parse(name),
      })),
    );
    expect(() => expire(backups, none, Date.parse(now))).not.toThrow();
  });
});
