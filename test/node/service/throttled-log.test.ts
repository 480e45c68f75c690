import { beforeEach, describe, expect, it } from 'vitest';
import { openThrottledLog, type ThrottledLog } from '../../../src/node/service/throttled-log.js';
import { type Events, watchEvents } from '../../support/events.js';
import { FakeClock } from '../../support/fake-clock.js';

let clock: FakeClock;
let below: Events;
let log: ThrottledLog;
const refuse = (from: string, port = 1) => log.again(`stranger ${from}`, 'warn', 'stranger refused', { from, port });
const told = () => below.all.map(({ fields }) => [fields['from'], fields['port'], fields['times'] ?? 1]);

beforeEach(() => {
  clock = new FakeClock();
  below = watchEvents();
  log = openThrottledLog(below, clock);
});

describe('what happens again and again', () => {
  it('is written at once, and then once a minute with its last line and how often it was', async () => {
    for (let port = 1; port <= 200; port += 1) refuse('10.8.0.9', port);
    expect(told()).toEqual([['10.8.0.9', 1, 1]]);
    await clock.advance(60_000);
    expect(told().slice(1)).toEqual([['10.8.0.9', 200, 199]]);
    refuse('10.8.0.9', 201);
    await clock.advance(60_000);
    expect(told().slice(2)).toEqual([['10.8.0.9', 201, 1]]);
  });

  it('is written at once again after a quiet minute', async () => {
    refuse('10.8.0.9', 1);
    await clock.advance(60_000);
    refuse('10.8.0.9', 2);
    expect(told()).toEqual([
      ['10.8.0.9', 1, 1],
      ['10.8.0.9', 2, 1],
    ]);
  });

  it('is told apart by its key, but not for as many keys as somebody can think of', async () => {
    for (let host = 0; host < 1_000; host += 1) refuse(`10.8.${host >> 8}.${host & 255}`);
    expect(told()).toHaveLength(101);
    await clock.advance(60_000);
    expect(told().slice(101)).toEqual([['10.8.3.231', 1, 899]]);
  });

  it('is told in the end, and leaves no timer', async () => {
    refuse('10.8.0.9', 1);
    refuse('10.8.0.9', 2);
    refuse('10.8.0.9', 3);
    log.close();
    expect(told().slice(1)).toEqual([['10.8.0.9', 3, 2]]);
    await clock.advance(600_000);
    expect(told()).toHaveLength(2);
  });
});
