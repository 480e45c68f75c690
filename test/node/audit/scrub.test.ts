import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { Failure } from '../../../src/mesh/terms/failure.js';
import { parseHostname } from '../../../src/mesh/terms/hostname.js';
import { openScrub, type ScrubParts } from '../../../src/node/audit/scrub.js';
import { openTimes, type Times } from '../../../src/node/audit/times.js';
import type { RunSignals } from '../../../src/node/outbox/run-signals.js';
import type { HeldEntry } from '../../../src/node/vault/held-entry.js';
import { FakeClock } from '../../support/fake-clock.js';
import { temporaryFolder } from '../../support/temporary-folder.js';

const day = 86_400_000;
const mib = 2 ** 20;
const host = parseHostname('FR1');
const never = new AbortController().signal;
const undisturbed = { stop: never, hurry: never };

let folder: string;
let clock: FakeClock;
let times: Times;
let held: HeldEntry[];
let read: string[];
let doubted: Set<string>;
let hasLock: boolean;
let broken: Map<string, Failure>;

beforeEach(async () => {
  folder = await temporaryFolder();
  clock = new FakeClock('2026-11-23T03:00:00Z');
  times = await openTimes(join(folder, 'scrub.json'));
  held = Array.from({ length: 60 }, (_, nth) => entry(`b${nth}`, 500 * mib, clock.now() - (40 - nth / 10) * day));
  read = [];
  doubted = new Set();
  hasLock = false;
  broken = new Map();
});

function entry(name: string, size: number, receivedAt: number): HeldEntry {
  const digest = Buffer.alloc(32);
  return {
    owner: host,
    name,
    set: 'backup',
    own: false,
    sequence: 1,
    createdAt: 0,
    receivedAt,
    size,
    digest,
    identity: null,
  };
}

async function* healing(...names: readonly string[]): AsyncGenerator<string> {
  yield* names;
}

/** A vault that is a list; its backups are read at once. */
const parts = (changes: Partial<ScrubParts> = {}): ScrubParts => ({
  clock,
  times,
  vault: {
    list: () => [...held],
    find: (name) => held.find((each) => each.name === name) ?? null,
    isDoubted: (name) => doubted.has(name),
    hasLock,
    async examine(name) {
      read.push(name);
      const failure = broken.get(name);
      if (failure === undefined) return;
      if (failure.kind === 'damaged') held = held.filter((each) => each.name !== name);
      throw failure;
    },
  },
  heal: () => healing(),
  nights: () => true,
  ...changes,
});

/** The first run of a node. */
const scrub = (of: ScrubParts, atNight: boolean, signals: RunSignals) => openScrub(of)(atNight, signals);

describe('a scrub', () => {
  it('begins with what could not be read just now', async () => {
    doubted.add('b59');
    await scrub(parts(), true, undisturbed);
    expect(read.slice(0, 2)).toEqual(['b59', 'b0']);
  });

  it('reads everything within 30 days, a little each night, and nothing twice before', async () => {
    held = held.map((each) => ({ ...each, receivedAt: clock.now() - 2 * day }));
    const most: number[] = [];
    for (let night = 0; night < 27; night += 1) {
      const before = read.length;
      await scrub(parts(), true, undisturbed);
      most.push(read.length - before);
      clock.jump(day);
    }
    expect(new Set(read).size).toBe(60);
    expect(Math.max(...most)).toBeLessThanOrEqual(3);
    expect(new Set(read.slice(0, 60)).size).toBe(60);
  });

  it('makes up for nights that were missed, with three parts a night', async () => {
    const checked: number[] = [];
    for (let night = 0; night < 10; night += 1) {
      checked.push((await scrub(parts(), true, undisturbed)).report.checked);
      clock.jump(day);
    }
    // A part is 1/25 of what is held, and ends with the backup in which it is reached.
    expect(checked).toEqual([8, 8, 8, 8, 8, 8, 8, 4, 3, 3]);
    expect(new Set(read).size).toBe(60);
  });

  it('reads little while somebody waits, also where everything has waited for too long', async () => {
    held = held.map((each) => ({ ...each, size: 30 * mib }));
    expect((await scrub(parts(), false, undisturbed)).report.checked).toBe(2);
  });

  it('leaves what is large to the nights while somebody waits, and reads the small ones behind it', async () => {
    held = held.map((each, nth) => ({ ...each, size: nth === 0 ? 50_000 * mib : 30 * mib }));
    await scrub(parts(), false, undisturbed);
    expect(read).toEqual(['b1', 'b2']);
    await scrub(parts(), true, undisturbed);
    expect(read[2]).toBe('b0');
  });

  it('reads on request what has waited for too long, and heals, where no nights are scheduled', async () => {
    const unscheduled = parts({ nights: () => false, heal: () => healing('healed') });
    const { report } = await scrub(unscheduled, false, undisturbed);
    expect(report).toMatchObject({ checked: 8, recovered: ['healed'] });
    held = held.map((each) => ({ ...each, receivedAt: clock.now() - 10 * day }));
    expect((await scrub(unscheduled, false, undisturbed)).report.checked).toBe(1);
  });

  /** Parts of which the backups are read when they are let go, and how many were begun. */
  function slowReading() {
    const usual = parts();
    const letGo = new Map<string, () => void>();
    let begun = 0;
    const examine: ScrubParts['vault']['examine'] = async (name) => {
      begun += 1;
      await new Promise<void>((resolve) => void letGo.set(name, resolve));
      await usual.vault.examine(name);
    };
    const reads = async (name: string): Promise<void> => {
      while (!letGo.has(name)) await clock.advance(0);
    };
    return { parts: { ...usual, vault: { ...usual.vault, examine } }, letGo, reads, begun: () => begun };
  }

  it.each([
    ['at night, and the next night is due', true, true],
    ['on request where no nights are scheduled, and somebody asks for the next run', false, false],
  ])('reads on what takes longer than the time between two runs: %s', async (_, atNight, nights) => {
    held = held.slice(0, 3).map((each) => ({ ...each, size: mib }));
    const slow = slowReading();
    async function* heal(): AsyncGenerator<string> {
      yield 'b9';
    }
    const run = openScrub({ ...slow.parts, heal, nights: () => nights });
    for (const name of ['b0', 'b1']) {
      const due = new AbortController();
      const cut = run(atNight, { ...undisturbed, hurry: due.signal });
      await slow.reads(name);
      due.abort('the next run is due');
      expect(await cut).toMatchObject({ report: { checked: 0 }, problems: [] });
    }
    expect((await run(atNight, undisturbed)).report).toMatchObject({ checked: 0, recovered: ['b9'] });
    for (const name of ['b0', 'b1']) slow.letGo.get(name)?.();
    while (read.length < 2) await clock.advance(0);
    await clock.advance(0);
    const last = run(atNight, undisturbed);
    await slow.reads('b2');
    slow.letGo.get('b2')?.();
    expect((await last).report.checked).toBe(3);
    expect(slow.begun()).toBe(3);
    expect(read).toEqual(['b0', 'b1', 'b2']);
  });

  it('tells in the next report what it found in a backup that it read on between two runs', async () => {
    held = held.slice(0, 1);
    broken.set('b0', new Failure('damaged', 'the bytes of b0 are not those of its manifest any more'));
    const slow = slowReading();
    const run = openScrub(slow.parts);
    const due = new AbortController();
    const cut = run(true, { ...undisturbed, hurry: due.signal });
    await slow.reads('b0');
    due.abort('the next run is due');
    expect((await cut).problems).toEqual([]);
    slow.letGo.get('b0')?.();
    while (held.length > 0) await clock.advance(0);
    expect(await run(true, undisturbed)).toMatchObject({
      report: { damaged: ['b0'] },
      problems: [{ kind: 'damaged' }],
    });
    expect(await run(true, undisturbed)).toMatchObject({ report: { damaged: [] }, problems: [] });
  });

  it('ends what it would heal when the next run is due, and tells what it has healed', async () => {
    const due = new AbortController();
    broken.set('b0', new Failure('damaged', 'the bytes of b0 are not those of its manifest any more'));
    async function* forever(signal: AbortSignal): AsyncGenerator<string> {
      yield 'b1';
      due.abort('the next night was due');
      signal.throwIfAborted();
    }
    const { report, problems } = await scrub(parts({ heal: forever }), true, { ...undisturbed, hurry: due.signal });
    expect(report.recovered).toEqual(['b1']);
    expect(problems.map(({ kind }) => kind)).toEqual(['damaged']);
  });

  it('remembers when it read what the node may not read now', async () => {
    await scrub(parts(), true, undisturbed);
    const checked = times.get('b0');
    held = [];
    hasLock = true;
    await scrub(parts(), true, undisturbed);
    expect(times.get('b0')).toBe(checked);
    hasLock = false;
    await scrub(parts(), true, undisturbed);
    expect(times.get('b0')).toBeUndefined();
  });

  it('leaves what it would heal to the nights while somebody waits', async () => {
    const { report } = await scrub(parts({ heal: () => healing('healed') }), false, undisturbed);
    expect(report.recovered).toEqual([]);
  });

  it('reads what has waited longest first, and little while somebody waits', async () => {
    held = held.map((each, nth) => ({ ...each, size: 50 * mib, receivedAt: clock.now() - (10 + nth / 10) * day }));
    await scrub(parts(), false, undisturbed);
    expect(read).toEqual(['b59']);
  });

  it('reads nothing again on the same day, and knows that after a restart', async () => {
    held = held.map((each) => ({ ...each, size: mib }));
    await scrub(parts(), true, undisturbed);
    read = [];
    times = await openTimes(join(folder, 'scrub.json'));
    expect((await scrub(parts(), true, undisturbed)).report).toMatchObject({ checked: 0, bytes: 0 });
    expect(read).toEqual([]);
  });

  it('tells of what is damaged, and goes on', async () => {
    held = held.map((each) => ({ ...each, size: mib }));
    broken.set('b3', new Failure('damaged', 'the bytes of b3 are not those of its manifest any more'));
    broken.set('b4', new Failure('failed', 'too many open files'));
    const { report, problems } = await scrub(parts(), true, undisturbed);
    expect(report).toMatchObject({ checked: 58, damaged: ['b3'] });
    expect(problems.map(({ kind }) => kind)).toEqual(['damaged', 'failed']);
    read = [];
    await scrub(parts(), true, undisturbed);
    expect(read).toEqual(['b4']);
  });

  it('tells what it found also when it cannot write down what it has read', async () => {
    const file = join(folder, 'in-the-way', 'scrub.json');
    await mkdir(file, { recursive: true });
    times = await openTimes(file);
    broken.set('b3', new Failure('damaged', 'the bytes of b3 are not those of its manifest any more'));
    const { report, problems } = await scrub(parts(), true, undisturbed);
    expect(report).toMatchObject({ checked: 7, damaged: ['b3'] });
    expect(problems).toEqual([
      expect.objectContaining({ kind: 'damaged' }),
      {
        kind: 'failed',
        message: expect.stringContaining(`${file} cannot be written`),
        hint: expect.stringContaining('disk'),
      },
    ]);
  });

  it('keeps to its rate', async () => {
    held = held.slice(0, 1);
    const slow = parts();
    const start = clock.monotonic();
    let took = 0;
    const vault = {
      ...slow.vault,
      examine: async (_: string, pace?: (bytes: number) => Promise<void>) => {
        for (let done = 0; done < 500; done += 1) await pace?.(mib);
        took = clock.monotonic() - start;
      },
    };
    let over = false;
    const scrubbed = scrub({ ...slow, vault }, true, undisturbed).finally(() => {
      over = true;
    });
    while (!over) await clock.advance(10);
    await scrubbed;
    expect(took).toBeGreaterThan(15_000);
    expect(took).toBeLessThan(17_000);
  });

  it('ends at once when the node stops, and remembers what it has read', async () => {
    const stopping = new AbortController();
    const stopAfterThree: ScrubParts = parts();
    const vault = {
      ...stopAfterThree.vault,
      async examine(name: string) {
        read.push(name);
        if (read.length === 3) stopping.abort();
      },
    };
    await expect(
      scrub({ ...stopAfterThree, vault }, true, { ...undisturbed, stop: stopping.signal }),
    ).rejects.toThrow();
    expect(read).toHaveLength(3);
    expect((await openTimes(join(folder, 'scrub.json'))).get('b0')).toBe(clock.now());
  });

  it('ends at once also where a backup is just read for its owner, at the pace of that', async () => {
    const stopping = new AbortController();
    const forAnOwner = parts();
    const vault = {
      ...forAnOwner.vault,
      examine: () => {
        void Promise.resolve().then(() => stopping.abort('the node stops'));
        return new Promise<void>(() => {});
      },
    };
    const signals = { ...undisturbed, stop: stopping.signal };
    await expect(scrub({ ...forAnOwner, vault }, true, signals)).rejects.toBe('the node stops');
  });

  it('takes a check at a time yet to come for none', async () => {
    held = [entry('new', mib, clock.now() - day / 24)];
    times.set('new', clock.now() + 400 * day);
    await scrub(parts(), true, undisturbed);
    expect(read).toEqual(['new']);
  });
});
