import { describe, expect, it } from 'vitest';
import { strangeTime } from '../../../src/node/retention/strange-time.js';

const day = 86_400_000;
const lastRun = Date.parse('2026-11-23T02:00:00Z');

describe('a clock that jumped since the last run', () => {
  it.each([
    ['a year ahead', 365 * day, 'the last run was 365 days ago'],
    ['a year behind', -365 * day, 'the last run is 365 days in the future'],
    ['30 days ahead and a little', 30 * day + 1, 'the last run was 30 days ago'],
    ['one day behind and a little', -day - 1, 'the last run is 1 day in the future'],
  ])('is doubted: it is %s', (_, jump, words) => {
    expect(strangeTime(lastRun + jump, lastRun)?.message).toContain(words);
  });

  it.each([
    ['a night later', day],
    ['after 30 days without the server', 30 * day],
    ['one day behind', -day],
  ])('is believed: it is %s', (_, jump) => {
    expect(strangeTime(lastRun + jump, lastRun)).toBeNull();
  });

  it('is believed before the first run', () => {
    expect(strangeTime(lastRun, undefined)).toBeNull();
  });
});
