import { describe, expect, it } from 'vitest';
import { type Claim, openRangeQueue } from '../../../src/mesh/peers/range-queue.js';
import { seeded } from '../../faults/random.js';

const all = (leaves: number): Uint8Array => new Uint8Array(leaves).fill(1);
const span = (claim: Claim<string> | null) => claim && [claim.start, claim.end];
const bring = (queue: ReturnType<typeof openRangeQueue<string>>, claim: Claim<string> | null, leaves: number): void => {
  for (let count = 0; claim !== null && count < leaves; count += 1) queue.arrived(claim);
};

describe('a range queue', () => {
  it('gives out 4 MiB at a time, from the start of the file', () => {
    const queue = openRangeQueue<string>(all(150));
    expect([span(queue.take('A')), span(queue.take('B')), span(queue.take('A'))]).toEqual([
      [0, 64],
      [64, 128],
      [128, 150],
    ]);
  });

  it('gives a slow holder less at a time, and the rest to whoever comes next', () => {
    const queue = openRangeQueue<string>(all(70));
    expect([span(queue.take('A', 8)), span(queue.take('B')), span(queue.take('A', 8))]).toEqual([
      [0, 8],
      [8, 64],
      [64, 70],
    ]);
  });

  it('asks for what is missing only', () => {
    const missing = new Uint8Array(200);
    for (const leaf of [3, 10, 70, 199]) missing[leaf] = 1;
    const queue = openRangeQueue<string>(missing);
    expect([queue.missing(), span(queue.take('A')), span(queue.take('A')), span(queue.take('A'))]).toEqual([
      4,
      [3, 11],
      [70, 71],
      [199, 200],
    ]);
  });

  it('gives what a holder did not bring to the next one', () => {
    const queue = openRangeQueue<string>(all(64));
    const claim = queue.take('A');
    bring(queue, claim, 10);
    if (claim !== null) queue.release(claim);
    expect([span(queue.take('B')), queue.missing()]).toEqual([[10, 64], 54]);
  });

  it('gives an idle holder the second half of what another one has most left of', () => {
    const queue = openRangeQueue<string>(all(128));
    const far = queue.take('A');
    const near = queue.take('A');
    bring(queue, far, 4);
    bring(queue, near, 50);
    expect([span(queue.take('B')), far?.end]).toEqual([[34, 64], 34]);
  });

  it('gives a few leaves to both, and knows when one of them has brought them', () => {
    const queue = openRangeQueue<string>(all(64));
    const slow = queue.take('A') as Claim<string>;
    bring(queue, slow, 60);
    const fast = queue.take('B') as Claim<string>;
    expect(span(fast)).toEqual([60, 64]);
    expect(queue.isOver(slow)).toBe(false);
    bring(queue, fast, 4);
    expect([queue.isOver(slow), queue.missing()]).toEqual([true, 0]);
  });

  it('has nothing for a holder that fetches all that is missing itself', () => {
    const queue = openRangeQueue<string>(all(64));
    bring(queue, queue.take('A'), 60);
    expect(queue.take('A')).toBeNull();
    queue.take('B');
    expect(queue.take('B')).toBeNull();
    expect(span(queue.take('C'))).toEqual([60, 64]);
  });

  it('takes a leaf that two have brought for one', () => {
    const queue = openRangeQueue<string>(all(4));
    bring(queue, queue.take('A'), 2);
    bring(queue, queue.take('B'), 2);
    expect(queue.missing()).toBe(0);
    expect(queue.take('C')).toBeNull();
  });

  it('has every missing leaf brought, and no holder waits, however they come, go and break', () => {
    const random = seeded(1);
    for (let nth = 0; nth < 200; nth += 1) {
      const share = random.next();
      const missing = Uint8Array.from({ length: 1 + random.below(300) }, () => Number(random.chance(share)));
      const lacking = new Set([...missing.keys()].filter((leaf) => missing[leaf] === 1));
      const queue = openRangeQueue<string>(missing);
      const open = new Map<string, Claim<string>>();
      while (queue.missing() > 0) {
        const holder = random.pick(['A', 'B', 'C', 'D']);
        const claim = open.get(holder) ?? queue.take(holder, 1 + random.below(80));
        // Each has one claim at a time, so there is always something for one that has none.
        expect(claim).not.toBeNull();
        if (claim === null) break;
        open.set(holder, claim);
        for (let count = random.below(40); count > 0 && claim.next < claim.end; count -= 1) {
          lacking.delete(claim.next);
          queue.arrived(claim);
        }
        if (!queue.isOver(claim) && random.chance(0.7)) continue;
        queue.release(claim);
        open.delete(holder);
      }
      expect(lacking.size).toBe(0);
    }
  });
});
