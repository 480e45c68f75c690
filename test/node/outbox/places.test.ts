import { beforeEach, describe, expect, it } from 'vitest';
import { openPlaces, type Place, type Places } from '../../../src/node/outbox/places.js';
import { FakeClock, settle } from '../../support/fake-clock.js';

const forever = new AbortController().signal;
const kib = 1024;

let clock: FakeClock;
let allowed: number;
let places: Places;
let begun: { readonly peer: string; readonly place: Place }[];

beforeEach(() => {
  clock = new FakeClock();
  places = openPlaces(clock, () => allowed);
  begun = [];
});

function ask(peer: string, ranges: number): void {
  for (let count = 0; count < ranges; count += 1)
    void places.take(peer, forever).then((place) => void begun.push({ peer, place }));
}
const count = (peer: string): number => begun.filter((each) => each.peer === peer).length;

async function leave(peer: string): Promise<void> {
  const first = begun.findIndex((each) => each.peer === peer);
  begun.splice(first, 1)[0]?.place.leave();
  await settle();
}

describe('the places under a limit', () => {
  it('are without number where there is none, and need no timer when all have left', async () => {
    allowed = 0;
    ask('FR2', 100);
    await settle();
    expect(count('FR2')).toBe(100);
    for (const { place } of begun) place.leave();
    expect(clock.pending()).toBe(0);
  });

  it('are no more than can be given 128 KiB in a minute, by the range that gets least of it', async () => {
    allowed = 16 * kib;
    ask('FR2', 4);
    ask('US1', 1);
    await settle();
    // Seven in all; where two peers have half of the limit each, either has three at most.
    expect([count('FR2'), count('US1')]).toEqual([4, 0]);
    await leave('FR2');
    expect([count('FR2'), count('US1')]).toEqual([3, 1]);
  });

  it('are one at least, and are given in the order in which they were asked for', async () => {
    allowed = 1;
    for (const peer of ['FR2', 'US1', 'DE1']) ask(peer, 1);
    const order: string[] = [];
    for (let turn = 0; turn < 3; turn += 1) {
      await settle();
      order.push(...begun.map(({ peer }) => peer));
      await leave(order.at(-1) ?? '');
    }
    expect(order).toEqual(['FR2', 'US1', 'DE1']);
  });

  it('follow the limit: the last that began end when it falls, and those who wait begin when it is gone', async () => {
    allowed = 16 * kib;
    ask('FR2', 7);
    ask('US1', 1);
    await settle();
    allowed = 8 * kib;
    await clock.advance(1000);
    expect(begun.map(({ place }) => place.over.aborted)).toEqual([false, false, false, true, true, true, true]);
    expect(count('US1')).toBe(0);
    allowed = 0;
    places.refresh();
    await settle();
    expect(count('US1')).toBe(1);
  });

  it('are asked for in vain by whoever gives up, who keeps no other one waiting', async () => {
    allowed = 1;
    ask('FR2', 1);
    await settle();
    const impatient = new AbortController();
    const waiting = places.take('US1', impatient.signal);
    ask('DE1', 1);
    impatient.abort(new Error('enough'));
    await expect(waiting).rejects.toThrow('enough');
    await expect(places.take('US1', impatient.signal)).rejects.toThrow('enough');
    await leave('FR2');
    expect(count('DE1')).toBe(1);
  });
});
