import { describe, expect, it } from 'vitest';
import { strangeTime } from '../../../src/node/retention/strange-time.js';

const day = 86_400_000;
const lastRun = Date.parse('2026-11-23T02:00:00Z');

const hour = 3_600_000;
const runs = (...moments: readonly number[]) => moments.map((at) => ({ startedAtMs: at, finishedAtMs: at }));

describe('a clock that jumped since the last run', () => {
  it.each([
    ['a year ahead', 365 * day, 'the last run was 365 days ago'],
    ['a year behind', -365 * day, 'the last run is 365 days in the future'],
    ['30 days ahead and a little', 30 * day + 1, 'the last run was 30 days ago'],
    ['one day behind and a little', -day - 1, 'the last run is 1 day in the future'],
  ])('is doubted: it is %s', (_, jump, words) => {
    expect(strangeTime(lastRun + jump, runs(lastRun), false)?.message).toContain(words);
  });

  it.each([
    ['a year ahead', 365 * day, '365 days passed between two of the last runs'],
    ['a year behind', -365 * day, 'set back by 365 days between two of the last runs'],
  ])('is doubted in each run until the next night: it is %s', (_, jump, words) => {
    const strange = lastRun + jump;
    const past = runs(lastRun - day, lastRun, strange, strange + 10 * hour);
    for (const later of [strange + 10 * hour + 60_000, strange + 20 * hour - 1]) {
      expect(strangeTime(later, past, false)?.message).toContain(words);
    }
    expect(strangeTime(strange + 20 * hour, past, false)).toBeNull();
  });

  it.each([
    ['is believed the next night, also where the doubting run took till morning', 7 * hour],
    ['is believed the next night, also where it jumped while the doubting run went on', 365 * day],
  ])('%s', (_, took) => {
    const finishedAtMs = lastRun + 365 * day + 7 * hour;
    const past = [...runs(lastRun), { startedAtMs: finishedAtMs - took, finishedAtMs }];
    expect(strangeTime(finishedAtMs + 1, past, false)?.message).toContain('days passed between two of the last runs');
    expect(strangeTime(finishedAtMs + (took < day ? 17 : 20) * hour, past, false)).toBeNull();
  });

  it('says what to do where no nights are scheduled: to run again tomorrow', () => {
    expect(strangeTime(lastRun + 31 * day, runs(lastRun), false)?.hint).toContain('anemone-peer backup');
    expect(strangeTime(lastRun + 32 * day, runs(lastRun, lastRun + 31 * day), false)).toBeNull();
  });

  it.each([
    ['a night later', day],
    ['after 30 days without the server', 30 * day],
    ['one day behind', -day],
  ])('is believed: it is %s', (_, jump) => {
    expect(strangeTime(lastRun + jump, runs(lastRun - day, lastRun), false)).toBeNull();
  });

  it.each([
    ['of which nothing is left', []],
    ['that begins anew', [lastRun]],
    ['that begins anew with several runs', [lastRun, lastRun + hour, lastRun + 19 * hour]],
  ])('is doubted by a damaged history %s, until that shows a day without a jump', (_, ends) => {
    const past = runs(...ends);
    expect(strangeTime(lastRun + 20 * hour - 1, past, true)?.message).toContain(
      'no run is known that is older than 20 hours',
    );
    expect(strangeTime(lastRun + 20 * hour, runs(lastRun, ...ends), true)).toBeNull();
  });

  it('is believed before the first run', () => {
    expect(strangeTime(lastRun, [], false)).toBeNull();
  });
});
