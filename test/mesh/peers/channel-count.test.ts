import { describe, expect, it } from 'vitest';
import { type ChannelCount, openChannelCount } from '../../../src/mesh/peers/channel-count.js';
import { FakeClock } from '../../support/fake-clock.js';

const mib = 2 ** 20;
const step = 250;

/** A link that loses packets: each connection brings so much by itself. */
const lossy = (channels: number): number => channels * mib;
/** A link that is full with one connection. */
const full = (): number => 2 * mib;

/**
 * Pushes for some seconds.
 * @param rate bytes a second over so many channels
 * @returns how many channels were wanted at the end of each second
 */
async function push(
  count: ChannelCount,
  clock: FakeClock,
  seconds: number,
  rate: (channels: number) => number,
): Promise<number[]> {
  const wanted: number[] = [];
  const end = count.begin();
  for (let at = 0; at < seconds * 1000; at += step) {
    await clock.advance(step);
    count.sent((rate(count.wanted) * step) / 1000);
    if ((at + step) % 1000 === 0) wanted.push(count.wanted);
  }
  end();
  return wanted;
}

function begin(): { clock: FakeClock; count: ChannelCount } {
  const clock = new FakeClock();
  return { clock, count: openChannelCount(clock) };
}

describe('the number of connections of a push', () => {
  it('is one at first, and eight where they are clearly faster', async () => {
    const { clock, count } = begin();
    expect(await push(count, clock, 30, lossy)).toEqual([1, 1, ...Array(28).fill(8)]);
  });

  it('is one again where eight bring no more, and that is tried less and less often', async () => {
    const { clock, count } = begin();
    const wanted = await push(count, clock, 200, full);
    const tries = wanted.flatMap((channels, second) => (channels === 8 && wanted[second - 1] === 1 ? [second] : []));
    expect(wanted.filter((channels) => channels === 8).length).toBeLessThan(30);
    expect(wanted.at(-1)).toBe(1);
    const pauses = tries.slice(1).map((second, index) => second - (tries[index] ?? 0));
    expect(pauses.length).toBeGreaterThan(2);
    expect(pauses).toEqual([...pauses].sort((a, b) => a - b));
    expect(pauses.at(-1)).toBeGreaterThan(2 * (pauses[0] ?? 0));
  });

  it('stays one where one is fast', async () => {
    const { clock, count } = begin();
    expect(new Set(await push(count, clock, 60, (channels) => channels * 20 * mib))).toEqual(new Set([1]));
  });

  it('stays one where the share of each would be too small for the patience of a peer', async () => {
    const { clock, count } = begin();
    expect(new Set(await push(count, clock, 200, (channels) => channels * 60_000))).toEqual(new Set([1]));
  });

  it('is not judged by what the first moments bring, before the first loss and while buffers fill', async () => {
    const { clock, count } = begin();
    const start = clock.monotonic();
    const burst = (channels: number): number => (clock.monotonic() - start <= 2000 ? 15 * mib : lossy(channels));
    expect((await push(count, clock, 10, burst)).at(-1)).toBe(8);
  });

  it('is not judged by few bytes: a slow link is measured for longer', async () => {
    const { clock, count } = begin();
    const wanted = await push(count, clock, 60, (channels) => channels * 100_000);
    expect(wanted.indexOf(8)).toBeGreaterThan(5);
    expect(wanted.at(-1)).toBe(8);
  });

  it('is remembered for the next push, but not what was only tried', async () => {
    const { clock, count } = begin();
    expect((await push(count, clock, 4, lossy)).at(-1)).toBe(8);
    expect(count.wanted).toBe(1);
    await push(count, clock, 20, lossy);
    await clock.advance(86_400_000);
    expect(await push(count, clock, 2, lossy)).toEqual([8, 8]);
  });

  it('is found out anew after ten minutes of pushing', async () => {
    const { clock, count } = begin();
    await push(count, clock, 30, lossy);
    const wanted = await push(count, clock, 590, full);
    expect([wanted[570], wanted.at(-1)]).toEqual([8, 1]);
  });
});
