import { expect, it } from 'vitest';
import { systemClock } from '../../../src/mesh/terms/clock.js';
import { warningsOf } from '../../support/warnings.js';

it('wakes any number that sleep for one signal without a warning of Node.js, which warns of more than ten', async () => {
  const interrupt = new AbortController();
  const warned = await warningsOf(async () => {
    const sleeping = Array.from({ length: 11 }, () => systemClock.sleep(3_600_000, interrupt.signal));
    interrupt.abort();
    const woken = await Promise.allSettled(sleeping);
    expect(woken.every(({ status }) => status === 'rejected')).toBe(true);
  });
  expect(warned).toEqual([]);
});
