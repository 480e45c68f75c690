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

/** Of what the peer has a part; times are by the monotonic clock. */
interface Part {
  /** When the last attempt ended that got further. */
  readonly arrivedAt: number;
  /** When the first one ended since then that the peer answered, and that brought nothing; null when none did. */
  readonly stalledAt: number | null;
}

const day = 86_400_000;
/** For how long a peer keeps what it has a part of for its owner to go on with, in milliseconds. */
const partsKept = 7 * day;

/** Remembers of each backup, by its file name, how far the attempts came to bring it to one peer. */
export class Attempts {
  readonly #clock: Clock;
  readonly #underWay = new Map<string, Attempt>();
  readonly #parts = new Map<string, Part>();
  /** The last attempt that got further than the one before it. */
  readonly #furthest = new Map<string, Attempt>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** What the peer still has a part of, unless for a day nothing more of it arrived although the peer answered. */
  get begun(): ReadonlySet<string> {
    const since = this.#clock.monotonic() - partsKept;
    return new Set([...this.#parts].flatMap(([name, { arrivedAt }]) => (arrivedAt > since ? [name] : [])));
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
    const now = this.#clock.monotonic();
    const part = this.#parts.get(name);
    if (attempt !== undefined && mayPass(failure) && gotFurther(attempt, this.#furthest.get(name))) {
      this.#furthest.set(name, attempt);
      this.#parts.set(name, { arrivedAt: now, stalledAt: null });
    } else if (part !== undefined && !isInterrupted) {
      const stalledAt = part.stalledAt ?? now;
      if (isRefusal(failure) || now - stalledAt >= day) this.#parts.delete(name);
      else this.#parts.set(name, { ...part, stalledAt });
    }
  }

  delivered(name: string): void {
    for (const told of [this.#underWay, this.#parts, this.#furthest]) told.delete(name);
  }
}

/**
 * Whether an attempt brought more than the one before it: what gets no further may not hold up newer ones for long. A peer that
 * has another part than before took something, or lost it: then nothing that was brought before counts.
 */
function gotFurther(attempt: Attempt, before: Attempt | undefined): boolean {
  return attempt.to > 0 && (attempt.from !== before?.from || attempt.to > before.to);
}
