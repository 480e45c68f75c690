import type { Clock } from '../terms/clock.js';

/** Channels that a large push uses when one is slow: a peer takes 16 ranges of one owner at a time. */
const several = 8;
/**
 * Milliseconds in which one channel finds its pace, and in which several do. What goes before only fills buffers, or is
 * sent before the first loss.
 */
const settling = { one: 2000, several: 3000 };
/** Milliseconds for which a rate is measured at least, and bytes of each channel. */
const measuredFor = 1000;
const measuredOver = 2 ** 19;
/** How many times as fast several channels have to be. */
const clearlyBetter = 2;
/** Bytes a second from which on one is fast enough, and more would only need memory. */
const fast = 16 * 2 ** 20;
/** Bytes a second below which the share of each would be too small: a peer gives a range up that brings little in a minute. */
const tooSlow = 2 ** 16;
/** Milliseconds of pushing until the next attempt: short at first, and twice as long after each one in vain. */
const shortestRest = 10_000;
const longestRest = 600_000;

/**
 * Whether a large push uses one channel or several. TCP takes a lost packet for a sign that the link is full, and goes
 * slower: on a link that loses packets by itself, several connections are several times as fast. On one that only is full
 * they bring no more, and take from others what is theirs. So it is measured: several are kept when they are clearly
 * faster. What was found is remembered, and found out anew after some minutes of pushing.
 */
export interface ChannelCount {
  /** How many channels to use now. It changes with {@link sent} only. */
  readonly wanted: number;
  /** A push begins. @returns what to call at its end */
  begin(): () => void;
  /** So many bytes were handed to the network, over whichever channel. */
  sent(bytes: number): void;
}

export function openChannelCount(clock: Clock): ChannelCount {
  return new MeasuredCount(clock);
}

class MeasuredCount implements ChannelCount {
  readonly #clock: Clock;
  #wanted = 1;
  /** Bytes a second of one channel, while several are tried; else null. */
  #rateOfOne: number | null = null;
  /** When the next measurement may begin, when it began, and the bytes since then. */
  #settledAt = 0;
  #begunAt: number | null = null;
  #bytesSince = 0;
  #restsUntil = 0;
  #nextRest = shortestRest;
  /** What is left of a rest, between two pushes. */
  #restLeft = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get wanted(): number {
    return this.#wanted;
  }

  begin(): () => void {
    const now = this.#clock.monotonic();
    this.#rest(now, this.#restLeft);
    return () => {
      this.#restLeft = Math.max(0, this.#restsUntil - this.#clock.monotonic());
      // What was only tried is not remembered.
      if (this.#rateOfOne !== null) this.#wanted = 1;
      this.#rateOfOne = null;
    };
  }

  sent(bytes: number): void {
    const now = this.#clock.monotonic();
    if (now < this.#restsUntil) return;
    if (this.#wanted > 1 && this.#rateOfOne === null) {
      this.#wanted = 1;
      this.#measureFrom(now + settling.one);
    } else if (now >= this.#settledAt) {
      this.#measure(bytes, now);
    }
  }

  #measure(bytes: number, now: number): void {
    if (this.#begunAt === null) {
      this.#begunAt = now;
      return;
    }
    this.#bytesSince += bytes;
    const took = now - this.#begunAt;
    if (took < measuredFor || this.#bytesSince < this.#wanted * measuredOver) return;
    const rate = (1000 * this.#bytesSince) / took;
    if (this.#rateOfOne !== null && rate >= clearlyBetter * this.#rateOfOne) {
      this.#rateOfOne = null;
      this.#nextRest = shortestRest;
      this.#rest(now, longestRest);
    } else if (this.#rateOfOne !== null || rate > fast || rate < tooSlow) {
      this.#stay(now);
    } else {
      this.#rateOfOne = rate;
      this.#wanted = several;
      this.#measureFrom(now + settling.several);
    }
  }

  /** Several would bring no more for now. */
  #stay(now: number): void {
    this.#wanted = 1;
    this.#rateOfOne = null;
    this.#rest(now, this.#nextRest);
    this.#nextRest = Math.min(2 * this.#nextRest, longestRest);
  }

  #rest(now: number, length: number): void {
    this.#restsUntil = now + length;
    this.#measureFrom(this.#restsUntil + settling.one);
  }

  #measureFrom(settledAt: number): void {
    this.#settledAt = settledAt;
    this.#begunAt = null;
    this.#bytesSince = 0;
  }
}
