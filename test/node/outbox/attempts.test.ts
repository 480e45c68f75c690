import { describe, expect, it } from 'vitest';
import { Failure } from '../../../src/mesh/terms/failure.js';
import { Attempts } from '../../../src/node/outbox/attempts.js';
import { FakeClock } from '../../support/fake-clock.js';

const day = 86_400_000;
const broke = new Failure('unreachable', 'the link to FR2 broke');
const stumbled = new Failure('failed', 'EIO: i/o error, write', { retryable: true });
const damaged = new Failure('damaged', 'FR2 found it damaged');

/** One attempt that brings a backup from so many bytes to so many, and fails then. */
function attempt(attempts: Attempts, from: number, to: number, failure = broke): void {
  attempts.progress('a', from);
  attempts.progress('a', to);
  attempts.failed('a', failure, false);
}

describe('a backup of which a peer has a part', () => {
  it('is halfway while bytes of it are on their way, and until it is whole', () => {
    const attempts = new Attempts(new FakeClock());
    expect(attempts.isHalfway('a')).toBe(false);
    attempts.progress('a', 0);
    expect(attempts.isHalfway('a')).toBe(false);
    attempts.progress('a', 100);
    expect(attempts.isHalfway('a')).toBe(true);
    attempts.delivered('a');
    expect(attempts.isHalfway('a')).toBe(false);
  });

  it('is halfway for 7 days after the link broke, counted anew when it got further, though its peer is away or busy', async () => {
    const clock = new FakeClock();
    const attempts = new Attempts(clock);
    attempt(attempts, 0, 100);
    await clock.advance(6 * day);
    attempt(attempts, 100, 200);
    await clock.advance(7 * day - 1);
    attempts.failed('a', broke, false);
    attempts.failed('a', new Failure('failed', 'FR2 has 64 calls under way', { retryable: true }), false);
    expect(attempts.isHalfway('a')).toBe(true);
    await clock.advance(1);
    expect(attempts.isHalfway('a')).toBe(false);
  });

  it('is still halfway after a stall of a night, and not when nothing arrived for a day in which it was tried', async () => {
    const clock = new FakeClock();
    const attempts = new Attempts(clock);
    attempt(attempts, 0, 100);
    await clock.advance(3 * day);
    for (let tries = 1; tries <= 96; tries += 1) {
      attempt(attempts, 0, 100);
      expect([...attempts.begun]).toEqual(['a']);
      expect(attempts.isHalfway('a')).toBe(true);
      await clock.advance(day / 96);
    }
    attempt(attempts, 0, 100);
    expect(attempts.isHalfway('a')).toBe(false);
  });

  it('is not halfway when its peer fails and it gets no further, or was refused for its own sake', () => {
    const attempts = new Attempts(new FakeClock());
    attempt(attempts, 0, 100);
    attempt(attempts, 0, 100, stumbled);
    expect(attempts.isHalfway('a')).toBe(false);
    attempt(attempts, 0, 200);
    attempt(attempts, 200, 300, damaged);
    expect(attempts.isHalfway('a')).toBe(false);
  });
});
