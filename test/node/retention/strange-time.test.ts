import { describe, expect, it } from 'vitest';
import { strangeTime } from '../../../src/node/retention/strange-time.js';

const day = 86_400_000;
const lastRun = Date.parse('2026-11-23T02:00:00Z');

describe('a clock that jumped since the last run', () => {
  it.each([
    ['a year ahead', 365 * day, 'the last run was 365 days ago'],
    ['a year behind', -365 * day, 'the last run is 365 days in the future'],
    ['two days behind', -2 * day, 'the last run is 2 days in the future'],
  ])('is doubted: it is %s', (_, jump, words) => {
    expect(strangeTime(lastRun + jump, lastRun)?.message).toContain(words);
  });

  it.each([
    ['a night later', day],
    ['after three weeks without the server', 21 * day],
    ['an hour behind, where summer ended', -3_600_000],
  ])('is believed: it is %s', (_, jump) => {
    expect(strangeTime(lastRun + jump, lastRun)).toBeNull();
  });

  it('is believed before the first run', () => {
    expect(strangeTime(lastRun, undefined)).toBeNull();
  });
});
