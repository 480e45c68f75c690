import { describe, expect, it } from 'vitest';
import { backoff } from '../../../src/node/outbox/backoff.js';

describe('the wait after failures', () => {
  it.each([
    [1, 30],
    [2, 60],
    [3, 120],
    [4, 240],
    [5, 480],
    [6, 900],
    [7, 900],
    [1000, 900],
  ])('after %i is at most %i seconds, and at least four fifths of that', (failures, seconds) => {
    for (const peer of ['FR1', 'FR2', 'US1']) {
      expect(backoff(failures, peer)).toBeLessThanOrEqual(seconds * 1000);
      expect(backoff(failures, peer)).toBeGreaterThanOrEqual(seconds * 800);
    }
  });

  it('is known in advance, and differs between peers', () => {
    expect(backoff(3, 'FR2')).toBe(backoff(3, 'FR2'));
    expect(backoff(3, 'FR2')).not.toBe(backoff(3, 'US1'));
  });
});
