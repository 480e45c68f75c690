import { type FileHandle, open, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { download } from '../../../../src/client/restore/download/download.js';
import { downloadInParallel } from '../../../../src/client/restore/download/parallel-download.js';
import { hashSize, leafSize } from '../../../../src/mesh/manifest/digest-tree.js';
import type { ByteRange } from '../../../../src/mesh/peers/fetch-backup.js';
import { Failure } from '../../../../src/mesh/terms/failure.js';
import { FakeClock } from '../../../support/fake-clock.js';
import { type StagedHolder, stagedHolder } from '../../../support/holders.js';
import { throwawayServer } from '../../../support/identities.js';
import { hashesOf, manifestOf } from '../../../support/manifests.js';
import { temporaryFolder } from '../../../support/temporary-folder.js';

const signer = throwawayServer('FR1').signer;
const content = patterned(20 * 2 ** 20 + 12_345);
const manifest = manifestOf(content, signer);
const hashes = hashesOf(content);

let folder: string;
let path: string;
let file: FileHandle;
let dropped: string[];
let clock: FakeClock;
beforeEach(async () => {
  folder = await temporaryFolder();
  path = join(folder, 'part');
  file = await open(path, 'w+');
  dropped = [];
  clock = new FakeClock();
});
afterEach(async () => {
  await file.close().catch(() => undefined);
});

const options = (signal = new AbortController().signal) => ({
  clock,
  folder,
  progress: () => {},
  dropped: ({ name }: { name: string }, { kind }: Failure) => void dropped.push(`${name} ${kind}`),
  signal,
});
const get = (...holders: StagedHolder[]) => download(manifest, holders, file, options());
const arrived = async () => (await readFile(path)).equals(content);

type Fetch = StagedHolder['fetch'];
type Served = StagedHolder & { readonly asked: { readonly offset: number; readonly length: number }[] };

/** A holder with the hashes of the leaves, and what it gives when it is asked for a range. */
function serving(name: string, fetch: Fetch = give(content), leaves: readonly Uint8Array[] = [hashes]): Served {
  const asked: Served['asked'] = [];
  const holder = stagedHolder(name, (backup, range, signal) => {
    asked.push(range);
    return fetch(backup, range, signal);
  });
  return Object.assign(holder, {
    asked,
    async *leaves() {
      yield* leaves;
    },
  });
}

/** Gives these bytes in chunks that do not end where leaves do. */
function give(bytes: Buffer): Fetch {
  return async function* (_name, { offset, length }, signal) {
    for (let at = offset; at < offset + length; at += 100_000) {
      await setImmediate();
      if (signal?.aborted) throw new Failure('interrupted', 'interrupted');
      yield bytes.subarray(at, Math.min(at + 100_000, offset + length));
    }
  };
}

/** Gives so many bytes of a range, and then this. */
function giveThen(bytes: number, end: (signal: AbortSignal | undefined) => unknown): Fetch {
  return async function* (_name, { offset, length }, signal) {
    if (bytes > 0) yield content.subarray(offset, offset + Math.min(bytes, length));
    await end(signal);
  };
}

const goesAway = (): never => {
  throw isGone();
};
const standsStill = (signal: AbortSignal | undefined): Promise<never> =>
  new Promise((_, reject) => {
    const abort = (): void => reject(new Failure('interrupted', 'interrupted'));
    if (signal?.aborted) abort();
    signal?.addEventListener('abort', abort);
  });
const wrong = Buffer.from(content);
for (let at = 5; at < wrong.length; at += leafSize * 7) wrong[at] = (wrong[at] ?? 0) ^ 1;

/** A holder that gives bytes, and no hashes. */
const withoutHashes = (name: string, end: () => Failure): Served =>
  Object.assign(serving(name), {
    // biome-ignore lint/correctness/useYield: it has nothing to give
    async *leaves() {
      throw end();
    },
  });
const tooOld = () => new Failure('failed', 'the node runs an older version', { hint: 'Restart it.' });
const isGone = () => new Failure('unreachable', 'the link broke');

const lying = () => serving('Lies', give(wrong));
const cutting = () =>
  serving(
    'Cuts',
    giveThen(70_000, () => undefined),
  );
const dying = () => serving('Dies', giveThen(0, goesAway));
const stalling = () => serving('Stalls', giveThen(10, standsStill));

describe('a download from several holders', () => {
  it('takes parts from all of them, and each part once', async () => {
    const holders = [serving('FR2'), serving('US1'), serving('DE1')];
    const received = await get(...holders);
    expect([await arrived(), dropped]).toEqual([true, []]);
    const shares = holders.map((holder) => received.get(holder) ?? 0);
    expect(Math.min(...shares)).toBeGreaterThan(2 ** 20);
    expect(shares.reduce((sum, share) => sum + share)).toBeLessThan(content.length * 1.1);
  });

  it('reads each range to the end that its holder gives it: a peer ends a connection over which very many are cancelled', async () => {
    let cancelled = 0;
    const holder = serving('FR2', async function* (...asked) {
      let ended = false;
      try {
        yield* give(content)(...asked);
        await setImmediate();
        ended = true;
      } finally {
        if (!ended) cancelled += 1;
      }
    });
    await get(holder);
    expect(holder.asked.length).toBeGreaterThan(5);
    // When nothing is missing any more nobody waits, not even for an end.
    expect(cancelled).toBeLessThanOrEqual(2);
    expect(await arrived()).toBe(true);
  });

  it('does not wait for a holder that gives all bytes of a range and no end', async () => {
    const endless = serving(
      'Endless',
      giveThen(Number.POSITIVE_INFINITY, (signal) => standsStill(signal)),
    );
    const received = await get(endless, serving('FR2'));
    expect([await arrived(), dropped]).toEqual([true, []]);
    expect(received.size).toBe(2);
  });

  it('asks for leaves only: ranges of 4 MiB that begin on one', async () => {
    const holder = serving('FR2');
    await get(holder);
    expect(holder.asked.every(({ offset, length }) => offset % leafSize === 0 && length <= 4 * 2 ** 20)).toBe(true);
  });

  it('takes bytes also from a holder that has no hashes to give', async () => {
    const received = await get(withoutHashes('Old', tooOld), serving('FR2'));
    expect([await arrived(), received.size]).toEqual([true, 2]);
  });

  it.each<[string, () => Served, string[]]>([
    ['lies', lying, ['Lies damaged']],
    ['ends early', cutting, ['Cuts damaged']],
    ['is gone', dying, ['Dies unreachable']],
    ['stands still', stalling, []],
  ])('goes on without one that %s', async (_what, bad, named) => {
    await get(bad(), serving('FR2'), serving('US1'));
    expect([await arrived(), dropped]).toEqual([true, named]);
  });

  it('needs one honest holder among liars, cutters, dead and stalling ones, wherever it stands', async () => {
    for (let place = 0; place < 5; place += 1) {
      const holders: StagedHolder[] = [lying(), cutting(), dying(), stalling()];
      holders.splice(place, 0, serving('FR2'));
      await file.truncate(0);
      dropped = [];
      await get(...holders);
      expect([await arrived(), [...dropped].sort()]).toEqual([
        true,
        ['Cuts damaged', 'Dies unreachable', 'Lies damaged'],
      ]);
    }
  });

  it('takes what a holder gave before it died, and the rest from another', async () => {
    let left = 40;
    const mortal = serving('Dies', async function* (name, range, signal) {
      for await (const chunk of give(content)(name, range, signal)) {
        if (left === 0) goesAway();
        left -= 1;
        yield chunk;
      }
    });
    const received = await get(mortal, serving('FR2'));
    expect([await arrived(), dropped]).toEqual([true, ['Dies unreachable']]);
    expect(received.get(mortal)).toBeGreaterThan(2 ** 20);
  });

  it('asks the only holder again where its link broke, as long as that brings more', async () => {
    const flaky = serving('FR2', giveThen(300_000, goesAway));
    await clock.runUntil(get(flaky));
    expect([await arrived(), dropped]).toEqual([true, []]);
  });

  it('asks again at once where a link broke once, and never in a hot loop', async () => {
    const flaky = serving('FR2', giveThen(leafSize, goesAway));
    const getting = get(flaky);
    await expect.poll(() => flaky.asked.length).toBe(4);
    for (let turn = 0; turn < 500; turn += 1) await setImmediate();
    // Two streams, each asked twice: no time has passed.
    expect(flaky.asked.length).toBe(4);
    await clock.runUntil(getting);
    expect([await arrived(), dropped]).toEqual([true, []]);
  });

  it('waits for the only holder while it is away, and goes on when it is back', async () => {
    let isAway = false;
    let inVain = 0;
    const back = clock.monotonic() + 10_000;
    const flaky = serving('FR2', async function* (name, range, signal) {
      if (isAway && clock.monotonic() < back) {
        inVain += 1;
        goesAway();
      }
      for await (const chunk of give(content)(name, range, signal)) {
        if (!isAway && range.offset > 8 * 2 ** 20) {
          isAway = true;
          goesAway();
        }
        yield chunk;
      }
    });
    await clock.runUntil(get(flaky));
    expect(await arrived()).toBe(true);
    expect(inVain).toBeLessThan(16);
  });

  it('gives up the only holder when it stays away after a few more questions, or never gave anything', async () => {
    let chunks = 20;
    let inVain = 0;
    const leaving = serving('FR2', async function* (name, range, signal) {
      if (chunks === 0) inVain += 1;
      for await (const chunk of give(content)(name, range, signal)) {
        if (chunks === 0) goesAway();
        chunks -= 1;
        yield chunk;
      }
    });
    await expect(clock.runUntil(get(leaving))).rejects.toMatchObject({ kind: 'unreachable' });
    expect(inVain).toBeGreaterThanOrEqual(4);
    expect(inVain).toBeLessThan(16);
    await file.truncate(0);
    await expect(get(dying())).rejects.toMatchObject({ kind: 'unreachable' });
  });

  it('drops one that trickles, by name, while another one has it too', async () => {
    const trickling = serving('Slow', giveThen(10, standsStill));
    const patient = serving('FR2', async function* (name, range, signal) {
      while (dropped.length === 0) await clock.advance(10_000);
      yield* give(content)(name, range, signal);
    });
    await get(trickling, patient);
    expect([await arrived(), dropped]).toEqual([true, ['Slow timeout']]);
  });

  it('waits for one that trickles when nobody else has it', async () => {
    const slow = serving('Slow', async function* (name, range, signal) {
      await clock.advance(120_000);
      yield* give(content)(name, range, signal);
    });
    await get(slow);
    expect([await arrived(), dropped]).toEqual([true, []]);
  });

  it('is damaged, and names everyone, when all lie', async () => {
    await expect(get(lying(), cutting())).rejects.toMatchObject({
      kind: 'damaged',
      message: expect.stringMatching(/Lies.*Cuts|Cuts.*Lies/s),
    });
  });

  it('ends, retryable, when those that do not lie are gone', async () => {
    await expect(clock.runUntil(get(lying(), dying()))).rejects.toMatchObject({ kind: 'unreachable', retryable: true });
  });

  it('stops when the user says so, and blames nobody', async () => {
    const stop = new AbortController();
    const holder = serving(
      'FR2',
      giveThen(100_000, (signal) => {
        stop.abort();
        return standsStill(signal);
      }),
    );
    await expect(download(manifest, [holder, stalling()], file, options(stop.signal))).rejects.toMatchObject({
      kind: 'interrupted',
    });
    expect(dropped).toEqual([]);
  });

  it('says that the disk failed when it failed while more came, which the system tells only once', async () => {
    file.datasync = async () => {
      throw Object.assign(new Error('EIO: i/o error, fdatasync'), { code: 'EIO' });
    };
    await expect(get(serving('FR2'))).rejects.toMatchObject({
      kind: 'failed',
      message: expect.stringContaining('cannot be written here'),
    });
    expect(dropped).toEqual([]);
  });

  it('says that the disk failed when the disk failed', async () => {
    await file.close();
    file = await open(path, 'r');
    await expect(get(serving('FR2'), serving('US1'))).rejects.toMatchObject({
      message: expect.stringContaining('cannot be written here'),
    });
    expect(dropped).toEqual([]);
  });
});

describe('a disk that does not give the hashes of the leaves back', () => {
  it.each<[string, () => Promise<Buffer>]>([
    ['for it fails', () => Promise.reject(Object.assign(new Error('EIO: i/o error, read'), { code: 'EIO' }))],
    ['but only some of them', async () => Buffer.alloc(hashSize)],
  ])('ends the download, and no holder is blamed: %s', async (_why, read) => {
    const leaves = { count: Math.ceil(content.length / leafSize), read, close: async () => {} };
    const holders = [serving('FR2'), serving('US1')];
    const arrival = { file, leaves, failures: new Map() };
    await expect(downloadInParallel(manifest, holders, arrival, options())).rejects.toMatchObject({
      kind: 'failed',
      message: expect.stringContaining('cannot be written here'),
    });
    expect(dropped).toEqual([]);
  });
});

describe('the hashes of the leaves', () => {
  const forged = hashesOf(wrong);
  it.each<[string, readonly Uint8Array[]]>([
    ['of other bytes', [forged]],
    ['that are too few', [hashes.subarray(32)]],
    ['that are none', []],
    ['without an end', [hashes, Buffer.alloc(32)]],
    ['cut within one', [hashes.subarray(0, -1)]],
  ])('%s are not believed, and their giver is not asked for bytes', async (_what, leaves) => {
    const liar = serving('Lies', give(content), leaves);
    await get(liar, serving('FR2'));
    expect([await arrived(), dropped, liar.asked]).toEqual([true, ['Lies damaged'], []]);
  });

  it('may come in pieces of any size', async () => {
    const pieces = Array.from({ length: Math.ceil(hashes.length / 7) }, (_, at) => hashes.subarray(at * 7, at * 7 + 7));
    await get(serving('FR2', give(content), pieces));
    expect(await arrived()).toBe(true);
  });

  it('come from the next one where a holder has none, or is not there', async () => {
    await get(withoutHashes('Old', tooOld), withoutHashes('US1', isGone), serving('FR2'));
    expect([await arrived(), dropped]).toEqual([true, []]);
  });

  it('that nobody has end it: it says why of each, and what can be done; nobody is asked for bytes', async () => {
    const [old, gone] = [withoutHashes('Old', tooOld), withoutHashes('US1', isGone)];
    await expect(clock.runUntil(get(old, gone))).rejects.toMatchObject({
      kind: 'unreachable',
      message: expect.stringMatching(/the node runs an older version; the link broke$/),
      hint: 'Restart it.',
    });
    expect([dropped, old.asked, gone.asked, clock.pending()]).toEqual([[], [], [], 0]);
  });

  it('that are lies of all who have them name everyone', async () => {
    const getting = get(
      serving('Lies', give(content), [forged]),
      serving('Cuts', give(content), [hashes.subarray(32)]),
    );
    await expect(getting).rejects.toMatchObject({ kind: 'damaged', message: expect.stringMatching(/Lies.*Cuts/s) });
    expect(dropped).toEqual(['Lies damaged', 'Cuts damaged']);
  });

  it.each(['at once', 'after half of them'])(
    'are asked for again where the link of the only holder broke %s',
    async (when) => {
      let breaks = 0;
      const flaky = Object.assign(serving('FR2'), {
        async *leaves(_backup: string, first: number) {
          breaks += 1;
          if (breaks === 1 && when !== 'at once') yield hashes.subarray(0, 1000);
          if (breaks === 1) throw isGone();
          yield hashes.subarray(first * hashSize);
        },
      });
      await get(flaky);
      expect([await arrived(), dropped]).toEqual([true, []]);
    },
  );

  it.each([[26], [27.25]])(
    'come in the end over a link that always breaks after %s of them: each question is for those that are missing',
    async (together) => {
      const asked: number[] = [];
      const breaking = Object.assign(serving('FR2'), {
        async *leaves(_backup: string, first: number) {
          asked.push(first);
          const rest = hashes.subarray(first * hashSize);
          yield rest.subarray(0, together * hashSize);
          if (rest.length > together * hashSize) throw isGone();
        },
      });
      await clock.runUntil(get(breaking));
      expect([await arrived(), dropped, clock.pending()]).toEqual([true, [], 0]);
      expect(asked.length).toBeGreaterThanOrEqual(3 * 4);
      expect(asked.slice(0, 3)).toEqual([0, Math.floor(together), 2 * Math.floor(together)]);
    },
  );

  it('are given up where questions bring nothing more, and are not asked for without a pause', async () => {
    const asked: number[] = [];
    const breaking = Object.assign(serving('FR2'), {
      async *leaves(_backup: string, first: number) {
        asked.push(first);
        if (first < 5) yield hashes.subarray(first * hashSize, (first + 1) * hashSize);
        throw isGone();
      },
    });
    const getting = get(breaking);
    await expect.poll(() => asked).toEqual([0, 1]);
    for (let turn = 0; turn < 500; turn += 1) await setImmediate();
    expect(asked).toEqual([0, 1]);
    await expect(clock.runUntil(getting)).rejects.toMatchObject({ kind: 'unreachable', retryable: true });
    expect([asked, clock.pending()]).toEqual([[0, 1, 2, 3, 4, 5, 5, 5, 5], 0]);
  });

  it('are waited for while an only holder of an older version reads the backup for them', async () => {
    let asked = 0;
    const reading = Object.assign(serving('FR2'), {
      async *leaves() {
        asked += 1;
        await clock.sleep(60_000);
        if (asked < 3) throw new Failure('timeout', 'FR2 did not answer for 60 s');
        yield hashes;
      },
    });
    await clock.runUntil(get(reading));
    expect([await arrived(), dropped, asked]).toEqual([true, [], 3]);
  });

  it('are asked for a few times where the only holder stays away, and never in a hot loop', async () => {
    let asked = 0;
    const getting = get(
      withoutHashes('FR2', () => {
        asked += 1;
        return isGone();
      }),
    );
    await expect.poll(() => asked).toBe(2);
    for (let turn = 0; turn < 500; turn += 1) await setImmediate();
    expect(asked).toBe(2);
    await expect(clock.runUntil(getting)).rejects.toMatchObject({ kind: 'unreachable', retryable: true });
    expect([asked, clock.pending()]).toEqual([4, 0]);
  });

  it('are not asked for again once another one has given them', async () => {
    let asked = 0;
    const leaving = Object.assign(serving('Leaves'), {
      // biome-ignore lint/correctness/useYield: it has nothing to give
      async *leaves(_backup: string, _first: number, signal?: AbortSignal) {
        asked += 1;
        if (asked < 3) throw isGone();
        await standsStill(signal);
      },
    });
    const later = Object.assign(serving('FR2'), {
      async *leaves() {
        await expect.poll(() => asked).toBe(2);
        yield hashes;
      },
    });
    await get(leaving, later);
    expect([await arrived(), dropped, asked, clock.pending()]).toEqual([true, [], 2, 0]);
  });

  it('may trickle where nobody else has them', async () => {
    const slow = Object.assign(serving('Slow'), {
      async *leaves() {
        yield hashes.subarray(0, 10);
        await clock.sleep(120_000);
        yield hashes.subarray(10);
      },
    });
    await clock.runUntil(get(slow));
    expect([await arrived(), dropped]).toEqual([true, []]);
  });

  it('that this disk does not take are the fault of nobody else', async () => {
    const nowhere = { ...options(), folder: join(folder, 'gone') };
    await expect(download(manifest, [serving('FR2'), serving('US1')], file, nowhere)).rejects.toMatchObject({
      message: expect.stringMatching(/gone cannot be written: ENOENT/),
    });
    expect(dropped).toEqual([]);
  });

  /** What happened to the questions for hashes, in order. */
  let questions: string[] = [];
  beforeEach(() => {
    questions = [];
  });
  const answering = (name: string, answer: () => AsyncGenerator<Uint8Array>) =>
    Object.assign(serving(name), {
      async *leaves() {
        questions.push(`${name} asked`);
        yield* answer();
      },
    });
  /** A holder that takes the question for hashes and never answers; its bytes are good. */
  const mute = (name: string) =>
    Object.assign(serving(name), {
      async *leaves(_backup: string, _first: number, signal?: AbortSignal) {
        questions.push(`${name} asked`);
        await standsStill(signal).finally(() => questions.push(`${name} stopped`));
      },
    });

  /** Lets the time pass for which one who was asked may be silent. */
  const silence = async (name: string): Promise<void> => {
    await expect.poll(() => questions).toContain(`${name} asked`);
    await clock.advance(3000);
  };

  it('are asked of the next one after seconds of silence; the first answer counts, and the others are stopped', async () => {
    const last = answering('FR2', async function* () {
      yield hashes;
    });
    const getting = get(mute('Mute'), mute('Dumb'), last);
    await silence('Mute');
    await silence('Dumb');
    await getting;
    expect([await arrived(), dropped]).toEqual([true, ['Mute timeout', 'Dumb timeout']]);
    expect(questions).toEqual(['Mute asked', 'Dumb asked', 'FR2 asked', 'Mute stopped', 'Dumb stopped']);
  });

  it('are asked of the next one too when they are not complete after ten seconds, and who only was slow is not named', async () => {
    let waits = 0;
    const trickling = Object.assign(serving('Trickles'), {
      async *leaves(_backup: string, _first: number, signal?: AbortSignal) {
        for (let at = 0; ; at += 1) {
          yield hashes.subarray(at, at + 1);
          waits += 1;
          await clock.sleep(2000, signal);
        }
      },
    });
    const next = answering('FR2', async function* () {
      yield hashes;
    });
    const getting = get(trickling, next);
    for (let seconds = 0; seconds < 10; seconds += 2) {
      await expect.poll(() => waits).toBe(1 + seconds / 2);
      expect(questions).toEqual([]);
      await clock.advance(2000);
    }
    await expect.poll(() => questions).toEqual(['FR2 asked']);
    await getting;
    expect([await arrived(), dropped, clock.pending()]).toEqual([true, [], 0]);
  });

  it('may come late from the first one: those asked meanwhile are stopped, and only the silent are named', async () => {
    const now = new AbortController();
    const late = answering('Late', async function* () {
      await standsStill(now.signal).catch(() => undefined);
      yield hashes;
    });
    const old = answering('Old', () => {
      throw new Failure('failed', 'no such method');
    });
    const getting = get(late, old, mute('Mute'));
    await silence('Late');
    await silence('Mute');
    now.abort();
    await getting;
    expect([await arrived(), dropped]).toEqual([true, ['Mute timeout']]);
    expect(questions).toEqual(['Late asked', 'Old asked', 'Mute asked', 'Mute stopped']);
  });

  it('are not waited for when the user says so', async () => {
    const stop = new AbortController();
    const getting = download(manifest, [mute('Mute'), mute('Dumb')], file, options(stop.signal));
    await expect.poll(() => questions.length).toBe(1);
    stop.abort();
    await expect(getting).rejects.toMatchObject({ kind: 'interrupted' });
    expect([dropped, questions, clock.pending()]).toEqual([[], ['Mute asked', 'Mute stopped'], 0]);
  });

  it('are asked of nobody when the user has said so before', async () => {
    await expect(download(manifest, [mute('Mute')], file, options(AbortSignal.abort()))).rejects.toMatchObject({
      kind: 'interrupted',
    });
    expect([questions, clock.pending()]).toEqual([[], 0]);
  });

  it('leave no file behind', async () => {
    await get(serving('FR2'));
    expect(await readdir(folder)).toEqual(['part']);
  });
});

describe('an earlier attempt', () => {
  const leafAt = (index: number): [Buffer, number] => [
    content.subarray(index * leafSize, (index + 1) * leafSize),
    index * leafSize,
  ];

  it('is gone on with, wherever its leaves lie; what is wrong in it is fetched again', async () => {
    await file.write(content, 0, content.length, 0);
    for (const hole of [10, 200]) await file.write(Buffer.alloc(leafSize), 0, leafSize, hole * leafSize);
    const holder = serving('FR2');
    const received = await get(holder);
    expect(await arrived()).toBe(true);
    // Both questions are under way at once: which comes first is up to the disk.
    const asked = [...holder.asked].sort((one, other) => one.offset - other.offset);
    expect(asked).toEqual([10, 200].map((hole) => ({ offset: hole * leafSize, length: leafSize })));
    expect(received.get(holder)).toBe(2 * leafSize);
  });

  it('that was cut off anywhere is gone on with by the next one', async () => {
    const [some] = leafAt(0);
    for (let attempt = 0; attempt < 4; attempt += 1) {
      const stop = new AbortController();
      let chunks = 0;
      const cut = serving('FR2', async function* (name, range, signal) {
        for await (const chunk of give(content)(name, range, signal)) {
          chunks += 1;
          if (chunks === 30) stop.abort();
          yield chunk;
        }
      });
      await expect(download(manifest, [cut], file, options(stop.signal))).rejects.toMatchObject({
        kind: 'interrupted',
      });
    }
    const last = serving('FR2');
    const received = await get(last);
    expect(await arrived()).toBe(true);
    expect(received.get(last)).toBeLessThan(content.length - 4 * 20 * some.length);
  });

  it('that is too long, or something else, is of no use and does no harm', async () => {
    await file.write(Buffer.alloc(content.length + 1, 7));
    await get(serving('FR2'));
    expect(await arrived()).toBe(true);
  });

  it('is read no further when the user stops it, and nobody is asked for bytes', async () => {
    await file.write(content.subarray(0, -leafSize));
    const stop = new AbortController();
    let reads = 0;
    const read: FileHandle['read'] = (...call: Parameters<typeof file.read>) => {
      reads += 1;
      stop.abort();
      return file.read(...call);
    };
    const holder = serving('FR2');
    const stopped = Object.assign(Object.create(file) as FileHandle, { read });
    await expect(download(manifest, [holder], stopped, options(stop.signal))).rejects.toMatchObject({
      kind: 'interrupted',
    });
    expect([reads, holder.asked]).toEqual([1, []]);
  });

  it('that has everything asks nobody for bytes', async () => {
    await file.write(content);
    const holder = serving('FR2');
    await get(holder);
    expect(holder.asked).toEqual([]);
  });
});

describe('links of a certain rate', () => {
  it.each([[[20, 20, 20]], [[1, 5, 50]]])('give near to their sum together: %j', async (rates) => {
    const { holders, finished } = simulatedLinks(rates);
    const received = await get(...holders);
    expect(await arrived()).toBe(true);
    const sum = rates.reduce((all, rate) => all + rate);
    expect(finished()).toBeLessThan((content.length / sum) * 1.15);
    for (const [index, rate] of rates.entries()) {
      const holder = holders[index];
      const share = holder === undefined ? 0 : (received.get(holder) ?? 0);
      expect(share / content.length).toBeGreaterThan((rate / sum) * 0.7);
    }
  });

  /**
   * Holders behind links with these many bytes a millisecond, in a time of their own: a chunk is there when the link has
   * carried all those before it. The earliest comes first, as soon as everybody who will ask has asked.
   */
  function simulatedLinks(rates: readonly number[]) {
    const waiting = new Set<{ readonly due: () => number; arrive(): void }>();
    /** Streams whose chunk is being worked on. */
    let busy = 0;
    let now = 0;
    let turning = false;
    const turn = async (): Promise<void> => {
      if (turning) return;
      turning = true;
      while (waiting.size > 0) {
        for (let calm = 0; calm < 20; calm = busy > 0 || readsOrWrites() ? 0 : calm + 1) await setImmediate();
        const [first] = [...waiting].sort((a, b) => a.due() - b.due());
        if (first === undefined) break;
        waiting.delete(first);
        now = Math.max(now, first.due());
        first.arrive();
      }
      turning = false;
    };
    const link = (rate: number) => {
      let free = 0;
      return async function* (_name: string, { offset, length }: ByteRange, signal?: AbortSignal) {
        let cancel = (): void => {};
        signal?.addEventListener('abort', () => cancel());
        for (let at = offset; at < offset + length; at += leafSize) {
          const chunk = content.subarray(at, Math.min(at + leafSize, offset + length));
          const asked = now;
          await new Promise<void>((resolve, reject) => {
            const due = (): number => Math.max(free, asked) + chunk.length / rate;
            const arrive = (): void => {
              free = due();
              busy += 1;
              resolve();
            };
            const entry = { due, arrive };
            cancel = () => {
              if (waiting.delete(entry)) reject(new Failure('interrupted', 'interrupted'));
            };
            waiting.add(entry);
            void turn();
          });
          try {
            yield chunk;
          } finally {
            busy -= 1;
          }
        }
      };
    };
    const holders = rates.map((rate, index) => serving(`Link${index}`, link(rate)));
    return { holders, finished: () => now };
  }
});

/** Whether a file call of this process has not come back yet: whoever waits for it may ask for more in the next moment. */
function readsOrWrites(): boolean {
  return process.getActiveResourcesInfo().some((resource) => resource.startsWith('FSReq'));
}

function patterned(size: number): Buffer {
  const bytes = Buffer.alloc(size);
  for (let at = 0; at + 4 <= size; at += 4) bytes.writeUInt32LE(Math.imul(at, 2_654_435_761) >>> 0, at);
  return bytes;
}
