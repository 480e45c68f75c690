import { describe, expect, it } from 'vitest';
import { Failure } from '../../../src/mesh/terms/failure.js';
import type { Log } from '../../../src/mesh/terms/log.js';
import { jitterOf } from '../../../src/node/schedule/calendar.js';
import { Scheduler, type Timetable } from '../../../src/node/schedule/scheduler.js';
import { silent, watchEvents } from '../../support/events.js';
import { FakeClock, settle } from '../../support/fake-clock.js';

const second = 1000;
const minute = 60 * second;
const hour = 60 * minute;
const day = 24 * hour;
const year = 365 * day;

const nightly: Timetable = { hostname: 'FR1', schedule: '0 2 * * *', timezone: 'UTC', jitter: 0 };

interface Setup {
  readonly now?: string;
  readonly timetable?: Timetable;
  readonly lastSuccess?: string;
  readonly run?: (signal: AbortSignal) => Promise<unknown>;
  readonly hurry?: () => void;
  readonly log?: Log;
}

/** A scheduler whose runs are written down as `<trigger> <time>`. */
function start({
  now = '2026-11-23T01:00:00Z',
  timetable = nightly,
  lastSuccess,
  run,
  hurry = () => {},
  log = silent,
}: Setup = {}) {
  const clock = new FakeClock(now);
  const runs: string[] = [];
  const started = new Scheduler({
    clock,
    log,
    timetable,
    lastSuccess: Date.parse(lastSuccess ?? now),
    run: async (trigger, signal) => {
      runs.push(`${trigger} ${new Date(clock.now()).toISOString()}`);
      await run?.(signal);
    },
    hurry,
  });
  started.start();
  return { clock, runs, scheduler: started, stop: () => started.stop() };
}

describe('the scheduler', () => {
  it('starts a run at its very time, every night', async () => {
    const { clock, runs, stop } = start();
    await clock.advance(2 * day);
    expect(runs).toEqual(['schedule 2026-11-23T02:00:00.000Z', 'schedule 2026-11-24T02:00:00.000Z']);
    await stop();
    expect(clock.pending()).toBe(0);
  });

  it('waits for the jitter of its server', async () => {
    const { clock, runs, scheduler, stop } = start({ timetable: { ...nightly, jitter: 300 } });
    const due = Date.parse('2026-11-23T02:00:00Z') + jitterOf('FR1', Date.parse('2026-11-23T02:00:00Z'), 300);
    expect(due).toBeGreaterThan(Date.parse('2026-11-23T02:00:00Z'));
    expect(scheduler.nextRunAt).toBe(due);
    await clock.advance(due - clock.now() - 1);
    expect(runs).toEqual([]);
    await clock.advance(1);
    expect(runs).toEqual([`schedule ${new Date(due).toISOString()}`]);
    await stop();
  });

  it('runs as often as scheduled where the jitter is longer than the time between two runs', async () => {
    const { clock, runs, stop } = start({ timetable: { ...nightly, schedule: '* * * * *', jitter: 300 } });
    const jitter = jitterOf('FR1', clock.now(), 300);
    expect(jitter).toBeGreaterThan(minute);
    const first = clock.now() + minute + jitter;
    await clock.advance(3 * minute + jitter);
    expect(runs).toEqual(
      [first, first + minute, first + 2 * minute].map((due) => `schedule ${new Date(due).toISOString()}`),
    );
    await stop();
  });

  it('catches up one missed night at start, however many were missed', async () => {
    const { clock, runs, stop } = start({ now: '2026-11-23T09:00:00Z', lastSuccess: '2026-11-01T02:00:10Z' });
    await clock.advance(12 * hour);
    expect(runs).toEqual(['catch-up 2026-11-23T09:00:00.000Z']);
    await stop();
  });

  it('runs nothing at start when the last night succeeded, or when this server was only just set up', async () => {
    for (const setup of [{ lastSuccess: '2026-11-23T02:00:10Z' }, {}]) {
      const { clock, runs, stop } = start({ now: '2026-11-23T09:00:00Z', ...setup });
      await clock.advance(12 * hour);
      expect(runs).toEqual([]);
      await stop();
    }
  });

  it('runs once after the clock jumped a year forward, then every night', async () => {
    const { clock, runs, stop } = start();
    await clock.advance(2 * hour);
    clock.jump(year);
    await clock.advance(minute);
    expect(runs).toEqual(['schedule 2026-11-23T02:00:00.000Z', 'catch-up 2027-11-23T03:01:00.000Z']);
    await clock.advance(day);
    expect(runs.slice(2)).toEqual(['schedule 2027-11-24T02:00:00.000Z']);
    await stop();
  });

  it('goes on every night after the clock jumped a year back', async () => {
    const { clock, runs, stop } = start();
    await clock.advance(2 * hour);
    clock.jump(-year);
    await clock.advance(2 * day);
    expect(runs.slice(1)).toEqual(['schedule 2025-11-24T02:00:00.000Z', 'schedule 2025-11-25T02:00:00.000Z']);
    await stop();
  });

  it('never runs the same scheduled moment twice, wherever the clock jumps', async () => {
    const { clock, runs, scheduler, stop } = start();
    await clock.advance(hour + 30 * minute);
    clock.jump(-hour);
    expect(new Date(scheduler.nextRunAt).toISOString()).toBe('2026-11-24T02:00:00.000Z');
    await clock.advance(2 * hour);
    clock.jump(-year);
    await clock.advance(hour);
    clock.jump(year);
    await clock.advance(hour);
    expect(runs).toEqual(['schedule 2026-11-23T02:00:00.000Z']);
    await stop();
  });

  it('runs a night whose moment a clock that was ahead for a while has begun already', async () => {
    const { clock, runs, stop } = start();
    await clock.advance(2 * hour);
    clock.jump(2 * day);
    await clock.advance(day);
    clock.jump(-2 * day);
    await clock.advance(2 * day);
    expect(runs).toEqual([
      'schedule 2026-11-23T02:00:00.000Z',
      'catch-up 2026-11-25T03:01:00.000Z',
      'schedule 2026-11-26T02:00:00.000Z',
      'schedule 2026-11-25T02:00:00.000Z',
      'schedule 2026-11-26T02:00:00.000Z',
    ]);
    await stop();
  });

  it('does not repeat the moment of the last success when the clock is set back after a restart', async () => {
    const { clock, runs, stop } = start({ now: '2026-11-23T02:10:00Z', lastSuccess: '2026-11-23T02:00:01Z' });
    clock.jump(-20 * minute);
    await clock.advance(23 * hour);
    expect(runs).toEqual([]);
    await stop();
  });

  it('catches up one missed night where the last success lies in the future, by a clock that was ahead then', async () => {
    const log = watchEvents();
    const { clock, runs, stop } = start({ now: '2026-11-23T08:00:00Z', lastSuccess: '2031-05-01T02:00:10Z', log });
    await clock.advance(2 * hour);
    expect(runs).toEqual(['catch-up 2026-11-23T08:10:00.000Z']);
    expect(log.all).toEqual([
      { level: 'warn', event: 'last run in the future', fields: { lastRun: '2031-05-01T02:00:10.000Z' } },
    ]);
    await stop();
    expect(clock.pending()).toBe(0);
  });

  it('gives the network time to set a clock that is behind after a boot, and then catches up what was missed', async () => {
    for (const { lastSuccess, caughtUp } of [
      { lastSuccess: '2026-11-23T02:00:10Z', caughtUp: [] },
      { lastSuccess: '2026-11-20T02:00:10Z', caughtUp: ['catch-up 2026-11-23T08:02:00.000Z'] },
    ]) {
      const { clock, runs, stop } = start({ now: '2016-01-01T00:00:00Z', lastSuccess });
      await clock.advance(90 * second);
      clock.jump(Date.parse('2026-11-23T08:01:30Z') - clock.now());
      await clock.advance(2 * hour);
      expect(runs).toEqual(caughtUp);
      await stop();
    }
  });

  it('follows a changed schedule, and does not run what the new one would have run before the change', async () => {
    const { clock, runs, scheduler, stop } = start({ now: '2026-11-23T10:00:00Z' });
    scheduler.follow({ ...nightly, schedule: '0 9 * * *' });
    await clock.advance(hour);
    expect(runs).toEqual([]);
    expect(new Date(scheduler.nextRunAt).toISOString()).toBe('2026-11-24T09:00:00.000Z');
    scheduler.follow({ ...nightly, schedule: '30 12 * * *' });
    await clock.advance(2 * hour);
    expect(runs).toEqual(['schedule 2026-11-23T12:30:00.000Z']);
    await stop();
  });

  it('runs nothing without a schedule, and starts when one is given', async () => {
    const { clock, runs, scheduler, stop } = start({ timetable: { ...nightly, schedule: null } });
    expect(scheduler.nextRunAt).toBe(0);
    await clock.advance(2 * day);
    expect(runs).toEqual([]);
    scheduler.follow(nightly);
    await clock.advance(day);
    expect(runs).toHaveLength(1);
    await stop();
  });

  it('runs one at a time: a run that takes longer than its schedule is followed by one, not by many', async () => {
    let finish = (): void => {};
    const { clock, runs, stop } = start({
      timetable: { ...nightly, schedule: '* * * * *' },
      run: () =>
        new Promise<void>((resolve) => {
          finish = resolve;
        }),
    });
    await clock.advance(10 * minute + 30 * second);
    expect(runs).toEqual(['schedule 2026-11-23T01:01:00.000Z']);
    finish();
    await settle();
    expect(runs).toHaveLength(2);
    const stopped = stop();
    finish();
    await stopped;
  });

  it('hurries a run of its own that is still under way when the next one is due', async () => {
    let finish = (): void => {};
    const { clock, runs, stop } = start({
      run: () =>
        new Promise<void>((resolve) => {
          finish = resolve;
        }),
      hurry: () => finish(),
    });
    await clock.advance(2 * day);
    expect(runs).toEqual(['schedule 2026-11-23T02:00:00.000Z', 'schedule 2026-11-24T02:00:00.000Z']);
    const stopped = stop();
    finish();
    await stopped;
  });

  it('hurries a run on request that is under way when a night is due', async () => {
    let locked = true;
    const { clock, runs, stop } = start({
      run: async () => {
        if (locked) throw new Failure('locked', 'another run is under way');
      },
      hurry: () => {
        locked = false;
      },
    });
    await clock.advance(2 * hour);
    expect(runs).toEqual(['schedule 2026-11-23T02:00:00.000Z', 'schedule 2026-11-23T02:01:00.000Z']);
    await stop();
  });

  const neverEnding = (signal: AbortSignal) =>
    new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()));
  const locked = () => Promise.reject(new Failure('locked', 'another run is under way'));

  it.each([
    ['of its own', neverEnding, ['2026-11-24T02:00:00.000Z']],
    ['on request', locked, ['2026-11-23T02:00:00.000Z', '2026-11-24T02:00:00.000Z']],
  ])('says once of each night that it is due while a run %s is under way', async (_whose, run, nights) => {
    const log = watchEvents();
    const { clock, stop } = start({ run, log });
    await clock.advance(hour + day + 10 * minute);
    expect(log.all).toEqual(
      nights.map((due) => ({ level: 'warn', event: 'run due while another is under way', fields: { due } })),
    );
    await stop();
  });

  it('tries again soon when another run was under way', async () => {
    let locked = true;
    const { clock, runs, stop } = start({
      run: async () => {
        if (locked) throw new Failure('locked', 'another run is under way');
      },
    });
    await clock.advance(hour + 3 * minute + second);
    locked = false;
    await clock.advance(2 * hour);
    expect(runs).toHaveLength(5);
    expect(runs.at(-1)).toBe('catch-up 2026-11-23T02:04:00.000Z');
    await stop();
  });

  it('goes on after a run that failed, and does not repeat it before the next night', async () => {
    const { clock, runs, stop } = start({
      run: () => Promise.reject(new Error('the disk fails')),
    });
    await clock.advance(2 * day);
    expect(runs).toHaveLength(2);
    await stop();
  });

  it('interrupts its run when it stops, and waits for its end', async () => {
    let interrupted = false;
    const { clock, stop } = start({
      run: (signal) =>
        new Promise<void>((resolve) => {
          signal.addEventListener('abort', () => {
            interrupted = true;
            resolve();
          });
        }),
    });
    await clock.advance(2 * hour);
    await stop();
    expect(interrupted).toBe(true);
    expect(clock.pending()).toBe(0);
  });
});
