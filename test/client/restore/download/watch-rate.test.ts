import { expect, it } from 'vitest';
import { watchRate } from '../../../../src/client/restore/download/watch-rate.js';
import { FakeClock } from '../../../support/fake-clock.js';

/** Passes chunks of these sizes, one in 25 seconds, and counts how often that was too slow. */
async function judged(...chunks: readonly number[]): Promise<{ slow: number; bytes: number }> {
  const clock = new FakeClock();
  let slow = 0;
  let bytes = 0;
  async function* source(): AsyncGenerator<Uint8Array> {
    for (const size of chunks) {
      await clock.advance(25_000);
      yield Buffer.alloc(size);
    }
  }
  const tooSlow = (): void => {
    slow += 1;
  };
  for await (const chunk of watchRate(source(), clock, tooSlow)) bytes += chunk.length;
  return { slow, bytes };
}

it('passes on what comes at a rate that makes sense', async () => {
  expect(await judged(40_000, 40_000, 40_000, 2 ** 20, 0, 0, 70_000)).toEqual({ slow: 0, bytes: 1_238_576 });
});

it('tells of a stream that trickles, and of one that stands still', async () => {
  expect(await judged(1, 1, 1)).toEqual({ slow: 1, bytes: 3 });
  expect(await judged(2 ** 20, 0, 0, 1, 1, 1)).toMatchObject({ slow: 1 });
});

it('does not count the time that whoever takes the bytes needs', async () => {
  const clock = new FakeClock();
  let slow = 0;
  async function* source(): AsyncGenerator<Uint8Array> {
    yield Buffer.alloc(1);
    yield Buffer.alloc(1);
  }
  const tooSlow = (): void => {
    slow += 1;
  };
  for await (const _chunk of watchRate(source(), clock, tooSlow)) await clock.advance(600_000);
  expect([slow, clock.pending()]).toEqual([0, 0]);
});
