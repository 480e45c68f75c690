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
  /** Backups whose reading was left for the next run, in that order. Forgotten with the process. */
  readonly abandoned: Set<string>;
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

/**
 * Reads again what is kept, what has waited longest first, and compares it with what its owner signed. The vault puts what
 * is damaged into quarantine; its owner learns of it at its next call. At night, or where none is scheduled, this server's own
 * backups are fetched back, and so are those of an owner that does not send them again itself.
 * @param atNight a night's part is read; else only as much as somebody waits for gladly
 */
export async function scrub(parts: ScrubParts, atNight: boolean, { stop, hurry }: RunSignals): Promise<ScrubResult> {
  const { vault, clock, times } = parts;
  const report: Scrub = { checked: 0, bytes: 0, damaged: [], recovered: [], oldestCheckMs: 0 };
  const problems: Problem[] = [];
  // To read a large backup, and to heal over a slow link, may take long, and the next run waits for the end of this one.
  const stopping = AbortSignal.any([stop, hurry]);
  const pacedUntil = paced(parts, report);
  try {
    for (const { name } of due(parts, atNight)) {
      stop.throwIfAborted();
      if (hurry.aborted) break;
      // One that takes longer than the time between two runs would never be read to its end: the next run waits for it once.
      const signal = parts.abandoned.has(name) ? stop : stopping;
      const failure = await examine(name, parts, { pace: pacedUntil(signal), signal });
      if (failure === null) report.checked += 1;
      else if (failure.kind === 'damaged') report.damaged.push(name);
      if (failure !== null) problems.push(problemOf(failure));
    }
    if ((atNight || !parts.nights()) && !hurry.aborted) {
      for await (const name of parts.heal(stopping)) report.recovered.push(name);
    }
  } catch (thrown) {
    const isCut = thrown === hurry.reason || Failure.from(thrown).kind === 'interrupted';
    if (!hurry.aborted || !isCut) throw thrown;
  } finally {
    const unsaved = await times.save((name) => vault.hasLock || vault.find(name) !== null);
    if (unsaved !== null) problems.push(problemOf(unsaved));
  }
  const checks = vault.list().map((entry) => lastCheck(entry, times, clock.now()));
  report.oldestCheckMs = checks.reduce((oldest, time) => Math.min(oldest, time), checks[0] ?? 0);
  return { report, problems };
}

/** @returns what is wrong, or null; one that was removed meanwhile is not */
async function examine(
  name: string,
  { vault, times, abandoned, clock }: ScrubParts,
  { pace, signal }: { readonly pace: Pace; readonly signal: AbortSignal },
): Promise<Failure | null> {
  abandoned.delete(name);
  try {
    await untilAborted(vault.examine(name, pace), signal);
    times.set(name, clock.now());
    return null;
  } catch (thrown) {
    const failure = Failure.from(thrown, name);
    if (failure.kind === 'interrupted') {
      abandoned.add(name);
      throw failure;
    }
    if (failure.kind === 'not-found') return null;
    // Of a backup that cannot be judged it is enough to be told once in a round.
    if (failure.kind === 'untrusted') times.set(name, clock.now());
    return failure;
  }
}

/** Of one that is just being read for its owner the pace is not ours, and it goes on without us. */
function untilAborted(reading: Promise<void>, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const abort = (): void => reject(new Failure('interrupted', 'the reading is left for a later run'));
    signal.addEventListener('abort', abort, { once: true });
    reading.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
  });
}

/**
 * What is read this time: what could not be read just now, and then what has waited longest. What had to be left before comes
 * last, and beside a part of all else: one that takes longer than the time until the next run would keep everything behind it
 * from being read.
 */
function due({ vault, times, abandoned, clock, nights }: ScrubParts, atNight: boolean): HeldEntry[] {
  const now = clock.now();
  const waiting = vault
    .list()
    .map((entry) => ({ entry, since: vault.isDoubted(entry.name) ? 0 : lastCheck(entry, times, now) }))
    .filter(({ since }) => now - since >= shortestUnread)
    .sort((a, b) => a.since - b.since);
  const total = vault.list().reduce((sum, { size }) => sum + size, 0);
  const part = Math.max(whileWaitedFor, total / round);
  const usual = atNight ? part : whileWaitedFor;
  const isNight = atNight || !nights();
  const most = isNight ? mostParts * part : usual;
  const within = (candidates: typeof waiting): HeldEntry[] => {
    let bytes = 0;
    const chosen: HeldEntry[] = [];
    for (const { entry, since } of candidates) {
      const overdue = now - since >= longestUnread;
      if (bytes >= (overdue ? most : usual)) break;
      if (!isNight && bytes + entry.size > usual) continue;
      bytes += entry.size;
      chosen.push(entry);
    }
    return chosen;
  };
  const left = [...abandoned].flatMap((name) => waiting.find(({ entry }) => entry.name === name) ?? []);
  return [...within(waiting.filter(({ entry }) => !abandoned.has(entry.name))), ...within(left)];
}

/** Its bytes were compared when it came in. A time that is yet to come is of a clock that was wrong, and counts as never. */
function lastCheck({ name, receivedAt, createdAt }: HeldEntry, times: Times, now: number): number {
  const time = times.get(name) ?? receivedAt ?? createdAt;
  return time > now ? 0 : time;
}

/** Lets no more bytes pass in a second than the rate says. */
function paced({ clock }: ScrubParts, report: Scrub): (stopping: AbortSignal) => Pace {
  const start = clock.monotonic();
  return (stopping) => async (bytes) => {
    if (stopping.aborted) throw new Failure('interrupted', 'the reading is left for a later run');
    report.bytes += bytes;
    const ahead = (report.bytes / rate) * 1000 - (clock.monotonic() - start);
    if (ahead > burst) await clock.sleep(ahead, stopping);
  };
}
