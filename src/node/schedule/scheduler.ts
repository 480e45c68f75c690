import type { Clock } from '../../mesh/terms/clock.js';
import { Failure } from '../../mesh/terms/failure.js';
import type { Log } from '../../mesh/terms/log.js';
import { jitterOf, missedRun, nextRun, previousRun } from './calendar.js';

/** The part of the configuration that says when runs happen. */
export interface Timetable {
  readonly hostname: string;
  /** A cron pattern, or null when runs happen on request only. */
  readonly schedule: string | null;
  readonly timezone: string;
  /** Seconds; see {@link jitterOf}. */
  readonly jitter: number;
}

export interface SchedulerOptions {
  readonly clock: Clock;
  readonly log: Log;
  readonly timetable: Timetable;
  /** When the last run that saved something began; null when this server never ran one. A night since then is caught up. */
  readonly lastSuccess: number | null;
  /** One run. A Failure `locked` means that another one is under way: this one is tried again a little later. */
  run(trigger: 'schedule' | 'catch-up', signal: AbortSignal): Promise<unknown>;
}

export interface Scheduler {
  /** Takes a changed configuration; what was due under the old one and has not begun is dropped. */
  follow(timetable: Timetable): void;
  /** When the next run is due, jitter included, in milliseconds since 1970; 0 when none is. */
  nextRunAt(): number;
  /** Interrupts a run that it started, and resolves when that one is over. */
  stop(): Promise<void>;
}

/** The machine's clock may be set at any time, and a sleeping machine wakes late: look at it again at least this often. */
const look = 60_000;
/** A run that starts later than this after its time is told as caught up. */
const late = 2 * look;
/** Scheduled moments remembered as run; they matter only where the clock is set back over them. */
const longestMemory = 1000;

/**
 * Starts runs when they are due. The machine's clock may jump either way: a jump forward makes up for all it skipped by one
 * run, a jump back makes future moments due again at their time, and no scheduled moment is ever run twice.
 */
export function startScheduler({ clock, log, run, ...start }: SchedulerOptions): Scheduler {
  const stopping = new AbortController();
  const begun = new Set<number>();
  let timetable = start.timetable;
  if (timetable.schedule !== null && start.lastSuccess !== null) {
    const covered = previousRun(timetable.schedule, timetable.timezone, start.lastSuccess);
    if (covered !== null) begun.add(covered);
  }
  /** Moments up to here are settled. */
  let settled = Math.min(start.lastSuccess ?? clock.now(), clock.now());
  let lastLook = clock.now();
  let cancelTimer = (): void => {};
  let current: Promise<void> | null = null;

  const dueAt = (moment: number): number => moment + jitterOf(timetable.hostname, moment, timetable.jitter);

  /** The scheduled moment that waits for its jitter, or the one after it. */
  const upcoming = (): number | null => {
    if (timetable.schedule === null) return null;
    const missed = missedRun(timetable.schedule, timetable.timezone, settled, clock.now());
    if (missed !== null && !begun.has(missed)) return missed;
    let next = nextRun(timetable.schedule, timetable.timezone, clock.now());
    while (next !== null && begun.has(next)) next = nextRun(timetable.schedule, timetable.timezone, next);
    return next;
  };

  const evaluate = (): void => {
    cancelTimer();
    if (stopping.signal.aborted) return;
    const now = clock.now();
    if (now < lastLook) settled = Math.min(settled, now);
    lastLook = now;
    const moment = current === null ? upcoming() : null;
    if (moment !== null && dueAt(moment) <= now) {
      current = begin(moment, now - dueAt(moment) > late ? 'catch-up' : 'schedule').then((again) => {
        current = null;
        if (again) evaluate();
      });
    }
    const wait = moment === null || current !== null ? look : Math.min(look, dueAt(moment) - now);
    cancelTimer = clock.after(wait, evaluate);
  };

  /** Resolves to false when another run was under way: then the moment waits for the next look. */
  const begin = async (moment: number, trigger: 'schedule' | 'catch-up'): Promise<boolean> => {
    const before = settled;
    remember(begun, moment);
    settled = moment;
    try {
      await run(trigger, stopping.signal);
    } catch (thrown) {
      const failure = Failure.from(thrown, 'the scheduled run');
      log.warn('scheduled run not done', { kind: failure.kind, reason: failure.message });
      if (failure.kind === 'locked') {
        begun.delete(moment);
        settled = Math.min(settled, before);
        return false;
      }
    }
    return true;
  };

  evaluate();
  return {
    follow(changed) {
      const same = changed.schedule === timetable.schedule && changed.timezone === timetable.timezone;
      timetable = changed;
      if (!same) settled = clock.now();
      evaluate();
    },
    nextRunAt() {
      const moment = upcoming();
      return moment === null ? 0 : dueAt(moment);
    },
    async stop() {
      stopping.abort();
      cancelTimer();
      await current;
    },
  };
}

function remember(moments: Set<number>, moment: number): void {
  moments.add(moment);
  for (const oldest of moments) {
    if (moments.size <= longestMemory) return;
    moments.delete(oldest);
  }
}
