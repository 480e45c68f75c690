import type { Config } from '../../mesh/config/config.js';
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

export function timetableOf({ server, backup }: Pick<Config, 'server' | 'backup'>): Timetable {
  return { hostname: server.name, ...backup };
}

export interface SchedulerOptions {
  readonly clock: Clock;
  readonly log: Log;
  readonly timetable: Timetable;
  /**
   * When the last run that saved something began, or this server was set up, by its clock then. A night since then is caught
   * up. One yet to come tells nothing, unless it is the clock of now that is wrong, and set right soon.
   */
  readonly lastSuccess: number;
  /** One run. A Failure `locked` means that another one is under way: this one is tried again a little later. */
  run(trigger: 'schedule' | 'catch-up', signal: AbortSignal): Promise<unknown>;
  /** Told that a run is due while another one is under way, again and again until that one is over. */
  hurry(): void;
}

/** The machine's clock may be set at any time, and a sleeping machine wakes late: look at it again at least this often. */
const lookEvery = 60_000;
/** So long after a boot the network has set the clock, or none will. */
const clockSetWithin = 10 * 60_000;
/** A run that starts later than this after its time is told as caught up. */
const late = 2 * lookEvery;
/**
 * Milliseconds, by the monotonic clock, for which a scheduled moment counts as run where the clock is set back over it: when that
 * comes a night later, it is another night, and the first was of a clock that was ahead.
 */
const sameNight = 20 * 3_600_000;

/**
 * Starts runs when they are due, one at a time. The machine's clock may jump either way: a jump forward makes up for all it
 * skipped by one run, a jump back makes future moments due again at their time, and no scheduled moment is run twice in one night.
 */
export class Scheduler {
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #run: SchedulerOptions['run'];
  readonly #hurry: SchedulerOptions['hurry'];
  readonly #stopping = new AbortController();
  /** Scheduled moments, each with when it was begun by the monotonic clock. */
  readonly #begun = new Map<number, number>();
  #timetable: Timetable;
  /** Scheduled moments up to here are settled, by the machine's clock. */
  #settled: number;
  #lastLook: number;
  #current: Promise<void> | null = null;
  /** The moment that was last told to be due while another run was under way. */
  #told: number | null = null;
  #cancelTimer = (): void => {};
  #cancelDoubt = (): void => {};
  readonly #lastSuccess: number;

  constructor({ clock, log, run, hurry, timetable, lastSuccess }: SchedulerOptions) {
    this.#clock = clock;
    this.#log = log;
    this.#run = run;
    this.#hurry = hurry;
    this.#timetable = timetable;
    this.#lastLook = clock.now();
    this.#lastSuccess = lastSuccess;
    this.#settled = Math.min(lastSuccess, clock.now());
    if (timetable.schedule !== null) {
      const covered = previousRun(timetable.schedule, timetable.timezone, lastSuccess);
      if (covered !== null) this.#begun.set(covered, clock.monotonic());
    }
  }

  /** Starts the run that is due already, if any, and from now on each at its time. */
  start(): void {
    this.#cancelDoubt = this.#clock.after(clockSetWithin, () => this.#doubt());
    this.#look();
  }

  /** When the next run is due, jitter included, in milliseconds since 1970; 0 when none is. */
  get nextRunAt(): number {
    const moment = this.#upcoming();
    return moment === null ? 0 : this.#dueAt(moment);
  }

  /** Takes a changed configuration; what was due under the old schedule and has not begun is dropped. */
  follow(timetable: Timetable): void {
    const { schedule, timezone } = this.#timetable;
    this.#timetable = timetable;
    if (schedule !== timetable.schedule || timezone !== timetable.timezone) this.#settled = this.#clock.now();
    this.#look();
  }

  /** Interrupts a run that it started, and resolves when that one is over. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#cancelDoubt();
    this.#cancelTimer();
    await this.#current;
  }

  /** A success that is still to come was told by a clock that was ahead: it settled no night before. */
  #doubt(): void {
    if (this.#lastSuccess <= this.#clock.now()) return;
    this.#log.warn('last run in the future', { lastRun: new Date(this.#lastSuccess).toISOString() });
    this.#settled = 0;
    this.#look();
  }

  #look(): void {
    this.#cancelTimer();
    if (this.#stopping.signal.aborted) return;
    const now = this.#clock.now();
    if (now < this.#lastLook) this.#settled = Math.min(this.#settled, now);
    this.#forget(now);
    this.#lastLook = now;
    const moment = this.#upcoming();
    const dueIn = moment === null ? lookEvery : this.#dueAt(moment) - now;
    if (moment !== null && dueIn <= 0) {
      if (this.#current === null) this.#start(moment, -dueIn);
      else this.#hurryFor(moment);
    }
    this.#cancelTimer = this.#clock.after(dueIn > 0 ? Math.min(lookEvery, dueIn) : lookEvery, () => this.#look());
  }

  /** What has begun and is over is settled; what is still to come by then was begun too early. */
  #forget(now: number): void {
    const since = this.#clock.monotonic() - sameNight;
    for (const [moment, begunAt] of this.#begun) {
      if (begunAt > since) continue;
      this.#begun.delete(moment);
      if (moment <= now) this.#settled = Math.max(this.#settled, moment);
    }
  }

  #start(moment: number, delay: number): void {
    this.#current = this.#attempt(moment, delay > late ? 'catch-up' : 'schedule').then((attempted) => {
      this.#current = null;
      if (attempted) this.#look();
    });
  }

  #hurryFor(moment: number): void {
    if (this.#told !== moment) {
      this.#told = moment;
      this.#log.warn('run due while another is under way', { due: new Date(moment).toISOString() });
    }
    this.#hurry();
  }

  /** Resolves to false when another run was under way: then the moment waits for the next look. */
  async #attempt(moment: number, trigger: 'schedule' | 'catch-up'): Promise<boolean> {
    const before = this.#settled;
    this.#begun.set(moment, this.#clock.monotonic());
    this.#settled = moment;
    try {
      await this.#run(trigger, this.#stopping.signal);
    } catch (thrown) {
      const failure = Failure.from(thrown, 'the scheduled run');
      if (failure.kind === 'locked') {
        this.#hurryFor(moment);
        this.#begun.delete(moment);
        this.#settled = Math.min(this.#settled, before);
        return false;
      }
      this.#log.warn('scheduled run not done', { kind: failure.kind, reason: failure.message });
    }
    return true;
  }

  /**
   * The newest scheduled moment that is due and has not begun; or else the one that passed and waits for its jitter, or the
   * next one. A newer one that still waits replaces none that is due: with a jitter longer than the time between two
   * moments, none would ever begin.
   */
  #upcoming(): number | null {
    const { schedule, timezone } = this.#timetable;
    if (schedule === null) return null;
    const now = this.#clock.now();
    const passedUntil = (until: number): number | null => missedRun(schedule, timezone, this.#settled, until);
    let waiting: number | null = null;
    for (let passed = passedUntil(now); passed !== null; passed = passedUntil(passed - 1)) {
      if (this.#begun.has(passed)) break;
      if (this.#dueAt(passed) <= now) return passed;
      waiting = passed;
    }
    if (waiting !== null) return waiting;
    let next = nextRun(schedule, timezone, now);
    while (next !== null && this.#begun.has(next)) next = nextRun(schedule, timezone, next);
    return next;
  }

  #dueAt(moment: number): number {
    return moment + jitterOf(this.#timetable.hostname, moment, this.#timetable.jitter);
  }
}
