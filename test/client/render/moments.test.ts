import { describe, expect, it } from 'vitest';
import { formatDuration, formatMoment, formatTime } from '../../../src/client/render/moments.js';

describe('a duration', () => {
  it.each([
    [0, 'under 1 s'],
    [499, 'under 1 s'],
    [500, '1 s'],
    [59_400, '59 s'],
    [59_600, '1 min'],
    [80_000, '1 min 20 s'],
    [3_600_000, '1 h'],
    [3_661_000, '1 h 1 min'],
    [86_399_999, '1 d'],
    [187_200_000, '2 d 4 h'],
  ])('of %d ms is %s', (ms, text) => {
    expect(formatDuration(ms)).toBe(text);
  });
});

describe('a moment', () => {
  const now = Date.UTC(2026, 10, 23, 1, 0, 0);
  it('is told from now, and 0 is never', () => {
    expect(formatMoment(now - 7_200_000, now)).toBe('2 h ago');
    expect(formatMoment(now + 60_000, now)).toBe('in 1 min');
    expect(formatMoment(now + 999, now)).toBe('now');
    expect(formatMoment(0, now)).toBe('never');
  });

  it('is written in UTC', () => {
    expect(formatTime(now)).toBe('2026-11-23 01:00:00 UTC');
  });
});
