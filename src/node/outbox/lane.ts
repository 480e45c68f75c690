import type { Clock } from '../../mesh/terms/clock.js';
import { Failure } from '../../mesh/terms/failure.js';
import type { Log } from '../../mesh/terms/log.js';
import { Attempts } from './attempts.js';
import { backoff, longestWait } from './backoff.js';
import { type Delivery, deliver, isRefusal, mayPass, type OutboxPeer, type RoundEnd } from './deliver.js';
import { type OwnBackup, owed } from './owed.js';
import type { Holder, Receipts } from './receipts.js';
import type { RunSignals } from './run-signals.js';

/** The parts of the node that an outbox needs, whoever its peers are. */
export interface OutboxParts {
  readonly clock: Clock;
  readonly log: Log;
  readonly receipts: Receipts;
  /** The server's own backups that are in its vault now. */
  ownBackups(): Promise<readonly OwnBackup[]>;
}

/** Whoever waits for a round: it is told what the lane does meanwhile. */
export type LaneListener = Pick<Delivery, 'progress' | 'delivered'>;

/** What became of a round. */
interface Round extends RoundEnd {
  /** Whether the peer took a backup whole. */
  readonly moved: boolean;
  readonly answered: boolean;
}

/** Who is busy for longer than so many rounds is not only busy: a disk that takes nothing is told in the same way. */
const mostBusyRounds = 5;

/** A peer that calls often is not tried more often than this, in milliseconds. */
const kickGap = 10_000;

/** The loop that keeps one peer served. One round of deliveries runs at a time. */
export class Lane {
  readonly peer: OutboxPeer;
  readonly #parts: OutboxParts;
  readonly #stopping = new AbortController();
  readonly #listeners = new Set<LaneListener>();
  #turn: Promise<unknown> = Promise.resolve();
  readonly #attempts: Attempts;
  #waiting = 0;
  #kicked = false;
  #failures = 0;
  /** Rounds in which the peer answered, and no byte went further, since the last one that brought something. */
  #stuck = 0;
  #problem: Failure | undefined;
  /** By the monotonic clock. */
  #lastTry = Number.NEGATIVE_INFINITY;
  /** By the monotonic clock; null when no try is planned. */
  #dueAt: number | null = null;
  #cancelTimer = (): void => {};

  constructor(peer: OutboxPeer, parts: OutboxParts) {
    this.peer = peer;
    this.#parts = parts;
    this.#attempts = new Attempts(parts.clock);
  }

  /** Tries at once: what is owed follows from what is on disk, so a restart forgets nothing. */
  start(): void {
    void this.#inTurn(this.#stopping.signal);
  }

  /** Tries at once where the peer refused: whatever was changed meanwhile may be what it refused. */
  reconsider(): void {
    if (isRefusal(this.#problem)) this.start();
  }

  /** The last failure, until a round brings everything. */
  get problem(): Failure | undefined {
    return this.#problem;
  }

  /** Whether the problem may end with nobody doing anything about it. */
  get problemMayPass(): boolean {
    const problem = this.#problem;
    if (problem === undefined) return false;
    // A peer that answers, but never takes what is large: the way to it may drop large packets for ever.
    if (problem.kind === 'timeout') return this.#stuck <= mostBusyRounds || this.#attempts.begun.size > 0;
    if (!isRefusal(problem)) return true;
    return mayPass(problem) && problem.kind !== 'no-space' && this.#failures <= mostBusyRounds;
  }

  /** When the next try is planned, in milliseconds since 1970; 0 when none is. */
  get nextTryAt(): number {
    const { clock } = this.#parts;
    return this.#dueAt === null ? 0 : Math.round(clock.now() + this.#dueAt - clock.monotonic());
  }

  async owed(): Promise<OwnBackup[]> {
    const backups = await this.#parts.ownBackups();
    return owed(backups, await this.#parts.receipts.held(this.peer, backups), this.#attempts.begun);
  }

  /** Whether the peer takes bytes of a backup now, or has a part of it that it still keeps. @param name its file name */
  isHalfway(name: string): boolean {
    return this.#attempts.isHalfway(name);
  }

  /** Tries soon, because the peer was seen: at once, or a little after the last try; not where it refused then. */
  kick(): void {
    this.#kicked = true;
    if (this.#waiting > 0 || isRefusal(this.#problem)) return;
    const now = this.#parts.clock.monotonic();
    const wait = Math.max(0, this.#lastTry + kickGap - now);
    if (this.#dueAt === null || this.#dueAt > now + wait) this.#plan(wait);
  }

  /**
   * Tries now. Resolves when all that is owed was tried once, or what is left waits for another try that was wanted meanwhile, to
   * the failure that remains, if any; with `hurry`, at once, and what is under way goes on.
   */
  async tryNow(listener: LaneListener, { stop, hurry }: RunSignals): Promise<Failure | undefined> {
    const either = AbortSignal.any([stop, this.#stopping.signal]);
    const interrupted = new Failure('interrupted', 'the delivery was interrupted');
    const over = new AbortController();
    this.#listeners.add(listener);
    try {
      return await Promise.race([
        this.#inTurn(either),
        onAbort(either, over.signal, () => interrupted),
        onAbort(hurry, over.signal, () => notOver(this.peer, String(hurry.reason))),
      ]);
    } finally {
      // What still listens keeps what belongs to the run for as long as this lane.
      over.abort();
      this.#listeners.delete(listener);
    }
  }

  /** Interrupts what is under way, and resolves when it is over. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#cancelTimer();
    await this.#turn;
  }

  #inTurn(signal: AbortSignal): Promise<Failure | undefined> {
    this.#waiting += 1;
    const mine = this.#turn
      .then(() => this.#round(signal))
      .finally(() => {
        this.#waiting -= 1;
      });
    this.#turn = mine;
    return mine;
  }

  async #round(signal: AbortSignal): Promise<Failure | undefined> {
    this.#cancelTimer();
    this.#dueAt = null;
    this.#kicked = false;
    const round = await this.#deliver(signal);
    this.#lastTry = this.#parts.clock.monotonic();
    if (round.moved) [this.#failures, this.#stuck] = [0, 0];
    if (signal.aborted) this.#plan(kickGap);
    // After one that was cut short the next begins at once, and goes through what is left: what it met is told all the same.
    else if (!round.isCut || round.failure !== undefined) this.#settle(round);
    // What may pass has passed where the peer took a backup since.
    else if (round.moved && this.#problem !== undefined && mayPass(this.#problem)) this.#problem = undefined;
    return round.failure;
  }

  /** Draws the conclusions of a round: what to tell, and when to try again. */
  #settle({ failure, moved, answered }: Round): void {
    const { name } = this.peer;
    if (failure === undefined) [this.#failures, this.#stuck] = [0, 0];
    if (failure !== undefined) this.#failures += 1;
    const isStuck = answered && !moved && failure?.kind === 'timeout' && this.#attempts.begun.size === 0;
    if (isStuck) this.#stuck += 1;
    if (failure !== undefined && failure.message !== this.#problem?.message) {
      this.#parts.log.warn('delivery failed', { peer: name, kind: failure.kind, reason: failure.message });
    }
    this.#problem = failure;
    if (this.#kicked && !isRefusal(failure)) this.#plan(kickGap);
    else if (failure !== undefined) this.#plan(mayPass(failure) ? backoff(this.#failures, name) : longestWait);
  }

  async #deliver(signal: AbortSignal): Promise<Round> {
    let moved = false;
    let answered = false;
    const tell = (act: (listener: LaneListener) => void): void => {
      for (const listener of this.#listeners) act(listener);
    };
    try {
      const end = await deliver(await this.owed(), {
        ...this.#parts,
        peer: this.peer,
        signal,
        isOverdue: () => this.#waiting > 1,
        progress: (backup, bytes) => {
          answered = true;
          this.#attempts.progress(backup.name, bytes);
          tell((listener) => listener.progress(backup, bytes));
        },
        failed: ({ name }, failure) => this.#attempts.failed(name, failure, signal.aborted),
        delivered: (backup) => {
          moved = true;
          this.#attempts.delivered(backup.name);
          this.#parts.log.info('backup delivered', { peer: this.peer.name, backup: backup.name, size: backup.size });
          tell((listener) => listener.delivered(backup));
        },
      });
      return { ...end, moved, answered };
    } catch (thrown) {
      const failure = Failure.from(thrown, `what ${this.peer.name} is owed`);
      return { failure, isCut: false, moved, answered };
    }
  }

  #plan(wait: number): void {
    this.#cancelTimer();
    if (this.#stopping.signal.aborted) return;
    const { clock } = this.#parts;
    this.#dueAt = clock.monotonic() + wait;
    this.#cancelTimer = clock.after(wait, () => void this.#inTurn(this.#stopping.signal));
  }
}

/** Resolves when the signal aborts, so that nobody waits for a turn that is no longer wanted. @param over when nobody waits */
function onAbort(signal: AbortSignal, over: AbortSignal, failure: () => Failure): Promise<Failure> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve(failure());
    else signal.addEventListener('abort', () => resolve(failure()), { once: true, signal: over });
  });
}

function notOver({ name }: Holder, why: string): Failure {
  return new Failure('timeout', `the delivery to ${name} was not over when ${why}`, {
    hint: 'It goes on by itself; `anemone-peer status` tells what is owed.',
  });
}
