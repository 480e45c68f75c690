import { describe, expect, it, vi } from 'vitest';
import { jitterOf, missedRun, nextRun, previousRun } from '../../../src/node/schedule/calendar.js';

const at = (iso: string): number => Date.parse(iso);
const iso = (time: number | null): string | null => (time === null ? null : new Date(time).toISOString());

function following(pattern: string, timezone: string, after: string, count: number): (string | null)[] {
  const moments: (string | null)[] = [];
  for (let time: number | null = at(after); time !== null && moments.length < count; ) {
    time = nextRun(pattern, timezone, time);
    moments.push(iso(time));
  }
  return moments;
}

interface Golden {
  readonly what: string;
  readonly pattern: string;
  readonly timezone: string;
  readonly after: string;
  readonly moments: readonly string[];
}

const golden: readonly Golden[] = [
  {
    what: 'Paris, spring: 02:00 does not exist, the night is due when 03:00 begins',
    pattern: '0 2 * * *',
    timezone: 'Europe/Paris',
    after: '2026-03-27T12:00:00Z',
    moments: ['2026-03-28T01:00:00.000Z', '2026-03-29T01:00:00.000Z', '2026-03-30T00:00:00.000Z'],
  },
  {
    what: 'Paris, spring: 02:30 does not exist, and is not skipped',
    pattern: '30 2 * * *',
    timezone: 'Europe/Paris',
    after: '2026-03-27T12:00:00Z',
    moments: ['2026-03-28T01:30:00.000Z', '2026-03-29T01:00:00.000Z', '2026-03-30T00:30:00.000Z'],
  },
  {
    what: 'Paris, autumn: 02:00 exists twice, the first one counts',
    pattern: '0 2 * * *',
    timezone: 'Europe/Paris',
    after: '2026-10-23T12:00:00Z',
    moments: ['2026-10-24T00:00:00.000Z', '2026-10-25T00:00:00.000Z', '2026-10-26T01:00:00.000Z'],
  },
  {
    what: 'Paris, autumn: 02:30 exists twice, the first one counts',
    pattern: '30 2 * * *',
    timezone: 'Europe/Paris',
    after: '2026-10-23T12:00:00Z',
    moments: ['2026-10-24T00:30:00.000Z', '2026-10-25T00:30:00.000Z', '2026-10-26T01:30:00.000Z'],
  },
  {
    what: 'Paris, autumn: every half hour goes on through the hour that repeats',
    pattern: '*/30 * * * *',
    timezone: 'Europe/Paris',
    after: '2026-10-25T00:00:00Z',
    moments: ['2026-10-25T00:30:00.000Z', '2026-10-25T01:00:00.000Z', '2026-10-25T01:30:00.000Z'],
  },
  {
    what: 'New York, spring: 02:30 does not exist',
    pattern: '30 2 * * *',
    timezone: 'America/New_York',
    after: '2026-03-06T12:00:00Z',
    moments: ['2026-03-07T07:30:00.000Z', '2026-03-08T07:00:00.000Z', '2026-03-09T06:30:00.000Z'],
  },
  {
    what: 'New York, autumn: 01:30 exists twice',
    pattern: '30 1 * * *',
    timezone: 'America/New_York',
    after: '2026-10-30T12:00:00Z',
    moments: ['2026-10-31T05:30:00.000Z', '2026-11-01T05:30:00.000Z', '2026-11-02T06:30:00.000Z'],
  },
  {
    what: 'Nuuk, spring: 23:30 does not exist, because after 22:59 comes the next day, and is not skipped',
    pattern: '30 23 * * *',
    timezone: 'America/Nuuk',
    after: '2026-03-27T12:00:00Z',
    moments: ['2026-03-28T01:30:00.000Z', '2026-03-29T01:30:00.000Z', '2026-03-30T00:30:00.000Z'],
  },
  {
    what: 'Nuuk, spring: what comes every hour comes every hour',
    pattern: '45 * * * *',
    timezone: 'America/Nuuk',
    after: '2026-03-29T00:00:00Z',
    moments: ['2026-03-29T00:45:00.000Z', '2026-03-29T01:45:00.000Z', '2026-03-29T02:45:00.000Z'],
  },
  {
    what: 'Tokyo knows no daylight saving',
    pattern: '0 2 * * *',
    timezone: 'Asia/Tokyo',
    after: '2026-03-28T00:00:00Z',
    moments: ['2026-03-28T17:00:00.000Z', '2026-03-29T17:00:00.000Z', '2026-03-30T17:00:00.000Z'],
  },
  {
    what: 'the leap day is a day',
    pattern: '0 2 * * *',
    timezone: 'UTC',
    after: '2028-02-28T02:00:00Z',
    moments: ['2028-02-29T02:00:00.000Z', '2028-03-01T02:00:00.000Z'],
  },
  {
    what: 'a pattern for the leap day alone waits for it',
    pattern: '0 2 29 2 *',
    timezone: 'UTC',
    after: '2026-03-01T00:00:00Z',
    moments: ['2028-02-29T02:00:00.000Z', '2032-02-29T02:00:00.000Z'],
  },
  {
    what: 'the year ends in the time zone, not in UTC',
    pattern: '0 0 1 1 *',
    timezone: 'Europe/Paris',
    after: '2026-06-01T00:00:00Z',
    moments: ['2026-12-31T23:00:00.000Z', '2027-12-31T23:00:00.000Z'],
  },
];

describe('the calendar', () => {
  it.each(golden)('$what', ({ pattern, timezone, after, moments }) => {
    expect(following(pattern, timezone, after, moments.length)).toEqual(moments);
  });

  it.each(golden)('finds the same moments backwards: $what', ({ pattern, timezone, moments }) => {
    for (const [index, moment] of moments.entries()) {
      expect(iso(previousRun(pattern, timezone, at(moment)))).toBe(moment);
      const before = moments[index - 1];
      if (before !== undefined) expect(iso(previousRun(pattern, timezone, at(moment) - 1))).toBe(before);
    }
  });

  it.each(['Europe/Paris', 'America/New_York', 'Asia/Tokyo', 'Australia/Lord_Howe'])(
    'has exactly one moment for each of 365 nights in %s, at any minute of the small hours',
    (timezone) => {
      for (const pattern of ['0 2 * * *', '30 1 * * *', '15 2 * * *', '59 2 * * *', '0 3 * * *']) {
        const nights = new Set<string>();
        const moments = following(pattern, timezone, '2025-12-31T18:00:00Z', 365);
        for (const moment of moments) {
          nights.add(new Date(moment ?? 0).toLocaleDateString('sv', { timeZone: timezone }));
        }
        expect(nights.size).toBe(365);
      }
    },
  );

  it('has a night every 23 to 25 hours where the clock skips the end of a day, whoever asks when', () => {
    for (const pattern of ['0 23 * * *', '59 23 * * *']) {
      const moments = following(pattern, 'America/Nuuk', '2025-12-31T18:00:00Z', 365).map((moment) => at(moment ?? ''));
      for (const [index, moment] of moments.slice(1).entries()) {
        const away = moment - (moments[index] ?? 0);
        expect(Math.abs(away - 24 * 3_600_000)).toBeLessThanOrEqual(3_600_000);
        expect(nextRun(pattern, 'America/Nuuk', moment - 1)).toBe(moment);
        expect(previousRun(pattern, 'America/Nuuk', moment + 1)).toBe(moment);
      }
    }
  });

  it('asks for the time in English only, the one language that every Node.js knows', () => {
    const told = vi.spyOn(Intl.DateTimeFormat.prototype, 'formatToParts');
    try {
      nextRun('0 2 * * *', 'Europe/Paris', at('2026-03-27T12:00:00Z'));
      const clocks = told.mock.contexts as Intl.DateTimeFormat[];
      const languages = clocks.map((clock) => clock.resolvedOptions().locale.slice(0, 2));
      expect(new Set(languages)).toEqual(new Set(['en']));
    } finally {
      told.mockRestore();
    }
  });

  it('never comes again where the pattern names no day', () => {
    expect(nextRun('0 0 30 2 *', 'UTC', at('2026-01-01T00:00:00Z'))).toBeNull();
    expect(previousRun('0 0 30 2 *', 'UTC', at('2026-01-01T00:00:00Z'))).toBeNull();
  });

  it('says which pattern and zone it cannot read', () => {
    expect(() => nextRun('every night', 'UTC', 0)).toThrow(/"every night" in UTC/);
    expect(() => nextRun('0 2 * * *', 'Mars/Olympus', 0)).toThrow(/Mars\/Olympus/);
  });
});

describe('a missed night', () => {
  const missed = (lastSuccess: string, now: string): string | null =>
    iso(missedRun('0 2 * * *', 'UTC', at(lastSuccess), at(now)));

  it('is the one that passed since the last success', () => {
    expect(missed('2026-11-22T02:00:30Z', '2026-11-23T09:00:00Z')).toBe('2026-11-23T02:00:00.000Z');
  });
  it('is only the latest of several', () => {
    expect(missed('2026-11-01T02:00:30Z', '2026-11-23T09:00:00Z')).toBe('2026-11-23T02:00:00.000Z');
  });
  it('is none when the last night succeeded, also when it began in that very millisecond', () => {
    expect(missed('2026-11-23T02:00:00Z', '2026-11-23T09:00:00Z')).toBeNull();
  });
  it('is told from the very moment it is due', () => {
    expect(missed('2026-11-22T02:00:00Z', '2026-11-23T01:59:59.999Z')).toBeNull();
    expect(missed('2026-11-22T02:00:00Z', '2026-11-23T02:00:00Z')).toBe('2026-11-23T02:00:00.000Z');
  });
  it('is none when the last success lies in the future, as after a wrong clock', () => {
    expect(missed('2027-11-23T02:00:00Z', '2026-11-23T09:00:00Z')).toBeNull();
  });
});

describe('jitter', () => {
  const moment = at('2026-11-23T02:00:00Z');

  it('is the same for the same server and day', () => {
    expect(jitterOf('FR1', moment, 300)).toBe(jitterOf('FR1', moment, 300));
  });
  it('is whole seconds from zero to below the limit, and spreads servers and days', () => {
    const seen = new Set<number>();
    for (let day = 0; day < 50; day += 1) {
      for (const hostname of ['FR1', 'FR2', 'US1']) {
        const jitter = jitterOf(hostname, moment + day * 86_400_000, 300);
        expect(jitter % 1000).toBe(0);
        expect(jitter).toBeGreaterThanOrEqual(0);
        expect(jitter).toBeLessThan(300_000);
        seen.add(jitter);
      }
    }
    expect(seen.size).toBeGreaterThan(100);
  });
  it('is none when the configuration wants none', () => {
    expect(jitterOf('FR1', moment, 0)).toBe(0);
  });
});
