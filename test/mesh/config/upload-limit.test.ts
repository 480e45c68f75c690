import { describe, expect, it } from 'vitest';
import { formatUploadLimit, parseUploadLimit, uploadAt } from '../../../src/mesh/config/upload-limit.js';

const table = parseUploadLimit('23:00 off, 8:00 512KiB');

describe('a limit of uploads', () => {
  it.each([
    [5_000_000, 5_000_000],
    ['5MB', 5_000_000],
    ['off', 0],
    [0, 0],
  ])('that is %s holds all day', (written, rate) => {
    const limit = parseUploadLimit(written);
    expect(limit).toEqual([{ minute: 0, rate }]);
    expect(uploadAt(limit, 'Asia/Tokyo', Date.UTC(2026, 0, 1))).toEqual({ rate, until: null });
    expect(formatUploadLimit(limit)).toBe(rate);
  });

  it('that is a time table has its steps in the order of the day, however it was written', () => {
    expect(table).toEqual([
      { minute: 480, rate: 524_288 },
      { minute: 1380, rate: 0 },
    ]);
    expect(formatUploadLimit(table)).toBe('08:00 524288, 23:00 off');
    expect(parseUploadLimit(formatUploadLimit(table))).toEqual(table);
  });

  it.each([
    ['06:59:59', 0, '08:00'],
    ['07:00:00', 524_288, '23:00'],
    ['21:59:59', 524_288, '23:00'],
    ['22:00:00', 0, '08:00'],
    ['23:30:00', 0, '08:00'],
  ])(
    'holds by the clock of its time zone, and over midnight: at %s UTC in Paris it is %i until %s',
    (time, rate, until) => {
      expect(uploadAt(table, 'Europe/Paris', Date.parse(`2026-11-23T${time}Z`))).toEqual({ rate, until });
    },
  );

  it('follows daylight saving', () => {
    expect(uploadAt(table, 'Europe/Paris', Date.parse('2026-07-01T06:00:00Z')).rate).toBe(524_288);
    expect(uploadAt(table, 'Europe/Paris', Date.parse('2026-07-01T21:00:00Z')).rate).toBe(0);
  });

  it('of one time only holds all day', () => {
    expect(parseUploadLimit('08:00 1MB')).toEqual(parseUploadLimit('1MB'));
  });
});
