import type { Problem, Scrub } from '../../mesh/generated/anemone/node/v1/node.js';
import type { Clock } from '../../mesh/terms/clock.js';
import { Failure } from '../../mesh/terms/failure.js';
import type { RunSignals } from '../outbox/run-signals.js';
import { problemOf } from '../report/problem.js';
import type { Pace } from '../vault/examining.js';
import type { HeldEntry } from '../vault/held-entry.js';
import type { Vault } from '../vault/vault.js';
import type { Times } from './times.js';

export interface ScrubParts {
  readonly vault: Pick<Vault, 'list' | 'examine' | 'find' | 'isDoubted' | 'hasLock'>;
  readonly clock: Clock;
  /** When each backup was last read whole. */
  readonly times: Times;
  /** Takes again from peers what was damaged here, and yields the file name of each that is held again. */
  heal(signal: AbortSignal): AsyncIterable<string>;
  /** Whether nights are scheduled; where none are, runs on request have to do what is due. */
  nights(): boolean;
}

export interface ScrubResult {
  readonly report: Scrub;
  readonly problems: readonly Problem[];
}

/** Bytes a second that are read at most. */
const rate = 32 * 2 ** 20;
/** Milliseconds that the reading may be ahead of its rate: a sleep for each piece would cost more than it evens out. */
const burst = 250;
const day = 86_400_000;
/** Everything is read again within this time; nights that were missed are made up for by the next ones. */
const longestUnread = 30 * day;
/** Parts that one run reads at most to make up for them: after a month off, all at once would take longer than a day. */
const mostParts = 3;
/** Nights that one round through the vault is spread over; fewer than the days above, for the nights that are missed. */
const round = 25;
/** What was read since is not read again: several runs on a day cost no more than one. */
const shortestUnread = 20 * 3_600_000;
/** Bytes that are read at most in a run that somebody waits for; what has more is left to the nights. */
const whileWaitedFor = 64 * 2 ** 20;
/** Backups that are being read at a time, with those of earlier runs: where the disk hangs, each holds one of few threads. */
const mostUnderWay = 2;

/** Reads a part of what is kept again, and ends early when it is told to. */
export type ScrubRun = (atNight: boolean, signals: RunSignals) => Promise<ScrubResult>;

/**
 * Reads again what is kept, what has waited longest first, and compares it with what its owner signed. The vault puts what
 * is damaged into quarantine; its owner learns of it at its next call. At night, or where none is scheduled, this server's own
 * backups are fetched back, and so are those of an owner that does not send them again itself.
 *
 * A night reads a night's part; any other run only as much as somebody waits for gladly. When the next run waits, the backup that is
 * being read is read on by itself: one that takes longer than the time between two runs would never be read to its end else. What
 * is found then is in the next report.
 */
export function openScrub(parts: ScrubParts): ScrubRun {
  const { vault, clock, times } = parts;
  const underWay = new Set<string>();
  let found = nothingFound();
  const pace = paced(clock, (bytes) => {
    found.report.bytes += bytes;
  });

  const read = async (name: string): Promise<void> => {
    try {
      await vault.examine(name, pace);
      times.set(name, clock.now());
      found.report.checked += 1;
    } catch (thrown) {
      const failure = Failure.from(thrown, name);
      // It was removed meanwhile, or the node stops.
      if (failure.kind === 'not-found' || failure.kind === 'interrupted') return;
      // Of a backup that cannot be judged it is enough to be told once in a round.
      if (failure.kind === 'untrusted') times.set(name, clock.now());
      if (failure.kind === 'damaged') found.report.damaged.push(name);
      found.problems.push(problemOf(failure));
    }
  };
  const reading = (name: string): Promise<void> => {
    underWay.add(name);
    return read(name).finally(() => underWay.delete(name));
  };

  return async (atNight, { stop, hurry }) => {
    // To read a large backup, and to heal over a slow link, may take long, and the next run waits for the end of this one.
    const stopping = AbortSignal.any([stop, hurry]);
    try {
      for (const { name } of due(parts, atNight, underWay)) {
        stopping.throwIfAborted();
        if (underWay.size === mostUnderWay) break;
        await untilAborted(reading(name), stopping);
      }
      if (atNight || !parts.nights()) {
        stopping.throwIfAborted();
        for await (const name of parts.heal(stopping)) found.report.recovered.push(name);
      }
    } catch (thrown) {
      const isCut = thrown === hurry.reason || Failure.from(thrown).kind === 'interrupted';
      if (!hurry.aborted || !isCut) throw thrown;
    } finally {
      const unsaved = await times.save((name) => vault.hasLock || vault.find(name) !== null);
      if (unsaved !== null) found.problems.push(problemOf(unsaved));
    }
    const checks = vault.list().map((entry) => lastCheck(entry, times, clock.now()));
    found.report.oldestCheckMs = checks.reduce((oldest, time) => Math.min(oldest, time), checks[0] ?? 0);
    const result = found;
    found = nothingFound();
    return result;
  };
}

/** What is told by the next report. */
function nothingFound(): { readonly report: Scrub; readonly problems: Problem[] } {
  return { report: { checked: 0, bytes: 0, damaged: [], recovered: [], oldestCheckMs: 0 }, problems: [] };
}

/** Waits for a work, which goes on by itself when the waiting is given up. */
function untilAborted(work: Promise<void>, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const abort = (): void => reject(signal.reason);
    signal.addEventListener('abort', abort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
  });
}

/** What is read this time: what could not be read just now, and then what has waited longest; what is being read is. */
function due(
  { vault, times, clock, nights }: ScrubParts,
  atNight: boolean,
  underWay: ReadonlySet<string>,
): HeldEntry[] {
  const now = clock.now();
  const waiting = vault
    .list()
    .map((entry) => ({ entry, since: vault.isDoubted(entry.name) ? 0 : lastCheck(entry, times, now) }))
    .filter(({ entry, since }) => now - since >= shortestUnread && !underWay.has(entry.name))
    .sort((a, b) => a.since - b.since);
  const total = vault.list().reduce((sum, { size }) => sum + size, 0);
  const part = Math.max(whileWaitedFor, total / round);
  const usual = atNight ? part : whileWaitedFor;
  const isNight = atNight || !nights();
  const most = isNight ? mostParts * part : usual;
  let bytes = 0;
  const chosen: HeldEntry[] = [];
  for (const { entry, since } of waiting) {
    const overdue = now - since >= longestUnread;
    if (bytes >= (overdue ? most : usual)) break;
    if (!isNight && bytes + entry.size > usual) continue;
    bytes += entry.size;
    chosen.push(entry);
  }
  return chosen;
}

/** Its bytes were compared when it came in. A time that is yet to come is of a clock that was wrong, and counts as never. */
function lastCheck({ name, receivedAt, createdAt }: HeldEntry, times: Times, now: number): number {
  const time = times.get(name) ?? receivedAt ?? createdAt;
  return time > now ? 0 : time;
}

/** Lets no more bytes pass in a second than the rate says, of all that is read at once. */
function paced(clock: Clock, passed: (bytes: number) => void): Pace {
  let readUntil = clock.monotonic();
  return async (bytes) => {
    passed(bytes);
    readUntil = Math.max(readUntil, clock.monotonic()) + (bytes / rate) * 1000;
    const ahead = readUntil - clock.monotonic();
    if (ahead > burst) await clock.sleep(ahead);
  };
}
