import { describe, expect, it } from 'vitest';
import { parseMoment } from '../../../../src/client/restore/choosing/moment.js';

const now = Date.parse('2026-03-31T12:00:00Z');
const hour = 3_600_000;

describe('a point in time', () => {
  it.each([
    ['now', now],
    ['yesterday', now - 24 * hour],
    ['3 days ago', now - 72 * hour],
    ['1 week ago', now - 168 * hour],
    ['90 minutes ago', now - 1.5 * hour],
    ['5 min ago', now - hour / 12],
    ['7 h ago', now - 7 * hour],
    ['6 d ago', now - 144 * hour],
    ['an hour ago', now - hour],
    ['a week ago', now - 168 * hour],
    ['last week', now - 168 * hour],
    ['2026-03-01T14:30:00Z', Date.parse('2026-03-01T14:30:00Z')],
    ['2026-03-01T14:30:00+02:00', Date.parse('2026-03-01T12:30:00Z')],
    ['2026-03-01 14:30Z', Date.parse('2026-03-01T14:30:00Z')],
    ['2026-03-01 14:30:00 UTC', Date.parse('2026-03-01T14:30:00Z')],
    ['2026-03-01 14:30', new Date(2026, 2, 1, 14, 30).getTime()],
    ['2026-03-01', new Date(2026, 2, 2).getTime() - 1],
  ])('%s is understood', (text, moment) => {
    expect(parseMoment(text, now)).toBe(moment);
  });

  it('one month before 31 March is the end of February', () => {
    expect(new Date(parseMoment('1 month ago', now)).getUTCMonth()).toBe(1);
  });

  it.each([
    '',
    'soon',
    '2026-13-01',
    '2026-02-30',
    '2026-02-01T25:00',
    '2026-02-30 14:30',
    '2026-04-31T14:30:00Z',
    '3 lightyears ago',
    'last 3 days',
    'a ago',
    '20261101',
    '-3 days ago',
  ])('%j is refused', (text) => {
    expect(() => parseMoment(text, now)).toThrow(expect.objectContaining({ kind: 'usage' }));
  });
});
