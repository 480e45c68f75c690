import type { Clock } from '../../mesh/terms/clock.js';
import type { Failure } from '../../mesh/terms/failure.js';
import { isRefusal, mayPass } from './deliver.js';

/** One attempt to bring a backup that the peer did not have whole. */
interface Attempt {
  /** Bytes of it that the peer had before. */
  readonly from: number;
  /** How many were brought, with those. */
  readonly to: number;
}

/** For how long a peer keeps what it has a part of for its owner to go on with, in milliseconds. */
const partsKept = 7 * 86_400_000;

/** How far the attempts came to bring one peer its backups, each by its file name. */
export class Attempts {
  readonly #clock: Clock;
  readonly #underWay = new Map<string, Attempt>();
  /** Of what the peer has a part, and the last attempt that it answered got further: when that ended, by the monotonic clock. */
  readonly #begun = new Map<string, number>();
  /** The last attempt that got further than the one before it. */
  readonly #furthest = new Map<string, Attempt>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Of what the peer still has a part, and the last attempt that it answered got further. */
  get begun(): ReadonlySet<string> {
    const since = this.#clock.monotonic() - partsKept;
    return new Set([...this.#begun].flatMap(([name, endedAt]) => (endedAt > since ? [name] : [])));
  }

  /** Whether the peer takes bytes of a backup now, or has a part of it that it still keeps. */
  isHalfway(name: string): boolean {
    return (this.#underWay.get(name)?.to ?? 0) > 0 || this.begun.has(name);
  }

  progress(name: string, bytes: number): void {
    this.#underWay.set(name, { from: this.#underWay.get(name)?.from ?? bytes, to: bytes });
  }

  failed(name: string, failure: Failure, isInterrupted: boolean): void {
    const attempt = this.#underWay.get(name);
    this.#underWay.delete(name);
    // Of an attempt that the peer did not answer, or was too busy for, nothing is known.
    if (attempt === undefined && (mayPass(failure) || !isRefusal(failure))) return;
    if (attempt !== undefined && mayPass(failure) && gotFurther(attempt, this.#furthest.get(name))) {
      this.#furthest.set(name, attempt);
      this.#begun.set(name, this.#clock.monotonic());
    } else if (!isInterrupted) this.#begun.delete(name);
  }

  delivered(name: string): void {
    for (const told of [this.#underWay, this.#begun, this.#furthest]) told.delete(name);
  }
}

/**
 * What gets no further, for whatever reason, holds up no newer one. A peer that has another part than before took something, or
 * lost it: then nothing that was brought before counts.
 */
function gotFurther(attempt: Attempt, before: Attempt | undefined): boolean {
  return attempt.to > 0 && (attempt.from !== before?.from || attempt.to > before.to);
}
