import { type FileHandle, mkdtemp, open, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { download } from '../../../../src/client/restore/download/download.js';
import { Failure } from '../../../../src/mesh/terms/failure.js';
import { FakeClock } from '../../../support/fake-clock.js';
import { type StagedHolder, stagedHolder } from '../../../support/holders.js';
import { throwawayServer } from '../../../support/identities.js';
import { manifestOf } from '../../../support/manifests.js';

const content = Buffer.from(Array.from({ length: 200_000 }, (_, index) => (index * 7919) % 251));
const manifest = manifestOf(content, throwawayServer('FR1').signer);

let folder: string;
let file: FileHandle;
let dropped: string[];
let clock: FakeClock;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'anemone-download-'));
  file = await open(join(folder, 'part'), 'w+');
  dropped = [];
  clock = new FakeClock();
});
afterEach(async () => {
  await file.close().catch(() => undefined);
  await rm(folder, { recursive: true });
});

const options = (signal?: AbortSignal) => ({
  clock,
  folder,
  progress: () => {},
  dropped: ({ name }: { name: string }, { kind }: Failure) => void dropped.push(`${name} ${kind}`),
  ...(signal === undefined ? {} : { signal }),
});
const get = (...holders: StagedHolder[]) => download(manifest, holders, file, options());
const arrived = async () => (await readFile(join(folder, 'part'))).equals(content);

/** Gives these bytes from the offset on, in steps; `end` fails then, or ends. */
function giving(name: string, bytes: Buffer, end?: () => Failure): StagedHolder & { readonly offsets: number[] } {
  const offsets: number[] = [];
  const holder = stagedHolder(name, async function* (_name, { offset }) {
    offsets.push(offset);
    for (let at = offset; at < bytes.length; at += 30_000) yield bytes.subarray(at, at + 30_000);
    if (end !== undefined) throw end();
  });
  return Object.assign(holder, { offsets });
}

const wrong = Buffer.from(content);
wrong[100_000] = (wrong[100_000] ?? 0) ^ 1;
const goesAway = () => new Failure('unreachable', 'the link broke');

describe('a download', () => {
  it('takes everything from the first holder that has it', async () => {
    const second = giving('US1', content);
    await get(giving('FR2', content), second);
    expect([await arrived(), dropped, second.offsets]).toEqual([true, [], []]);
  });

  it('goes on at another holder where one went away', async () => {
    const second = giving('US1', content);
    await get(giving('FR2', content.subarray(0, 90_000), goesAway), second);
    expect([await arrived(), dropped, second.offsets]).toEqual([true, ['FR2 unreachable'], [90_000]]);
  });

  it('asks the only holder again where it went away, as long as that brings more', async () => {
    let reach = 0;
    const offsets: number[] = [];
    const flaky = stagedHolder('FR2', async function* (_name, { offset }) {
      offsets.push(offset);
      reach = Math.min(content.length, reach + 80_000);
      yield content.subarray(offset, reach);
      if (reach < content.length) throw goesAway();
    });
    const getting = get(flaky);
    await expect.poll(() => offsets.length).toBe(2);
    for (let turn = 0; turn < 500; turn += 1) await setImmediate();
    // The second break in a row is followed by a pause.
    expect(offsets).toEqual([0, 80_000]);
    await clock.runUntil(getting);
    expect([await arrived(), offsets]).toEqual([true, [0, 80_000, 160_000]]);
  });

  it('ends, retryable, when nobody brings any more', async () => {
    const failure = get(giving('FR2', content.subarray(0, 60_000), goesAway), giving('US1', Buffer.alloc(0), goesAway));
    await expect(failure).rejects.toMatchObject({ kind: 'unreachable', retryable: true });
  });

  it('drops the holder that lies, and takes all from another', async () => {
    const honest = giving('US1', content);
    await get(giving('FR2', wrong), honest);
    expect([await arrived(), dropped, honest.offsets]).toEqual([true, ['FR2 damaged'], [0]]);
  });

  it('finds the liar when one lied before it went away and another went on', async () => {
    const liar = giving('FR2', wrong.subarray(0, 120_000), goesAway);
    await get(liar, giving('US1', content));
    expect(await arrived()).toBe(true);
    expect(dropped).toContain('FR2 unreachable');
  });

  it.each([
    ['less', content.subarray(0, 150_000)],
    ['more', Buffer.concat([content, Buffer.from('more')])],
    ['nothing', Buffer.alloc(0)],
  ])('drops the holder that sends %s than it should', async (_what, bytes) => {
    await get(giving('FR2', bytes), giving('US1', content));
    expect([await arrived(), dropped]).toEqual([true, ['FR2 damaged']]);
  });

  it('is damaged, and names everyone, when all lie', async () => {
    const failure = get(giving('FR2', wrong), giving('US1', wrong.subarray(0, 150_000)));
    await expect(failure).rejects.toMatchObject({
      kind: 'damaged',
      message: expect.stringMatching(/FR2.*US1/s),
    });
  });

  it('goes on with what an earlier attempt left', async () => {
    await file.write(content.subarray(0, 70_001));
    const holder = giving('FR2', content);
    await get(holder);
    expect([await arrived(), holder.offsets]).toEqual([true, [70_001]]);
  });

  it.each([
    ['wrong', Buffer.alloc(70_000)],
    ['too long', Buffer.alloc(300_000)],
    ['as long and wrong', wrong],
  ])('starts again when what an earlier attempt left is %s', async (_what, left) => {
    await file.write(left);
    await get(giving('FR2', content));
    expect([await arrived(), dropped]).toEqual([true, []]);
  });

  it('asks nobody when an earlier attempt left all of it', async () => {
    await file.write(content);
    const holder = giving('FR2', content);
    await get(holder);
    expect(holder.offsets).toEqual([]);
  });

  it('stops when the user says so, and blames nobody', async () => {
    const stop = new AbortController();
    const holder = stagedHolder('FR2', async function* () {
      yield content.subarray(0, 1000);
      stop.abort();
      throw new Failure('interrupted', 'interrupted');
    });
    await expect(download(manifest, [holder], file, options(stop.signal))).rejects.toMatchObject({
      kind: 'interrupted',
    });
    expect(dropped).toEqual([]);
  });

  it('stops while it reads what an earlier attempt left, and asks nobody', async () => {
    await file.write(content.subarray(0, 70_001));
    const stop = new AbortController();
    const read: FileHandle['read'] = (...call: Parameters<typeof file.read>) => {
      stop.abort();
      return file.read(...call);
    };
    const holder = giving('FR2', content);
    const stopped = Object.assign(Object.create(file) as FileHandle, { read });
    await expect(download(manifest, [holder], stopped, options(stop.signal))).rejects.toMatchObject({
      kind: 'interrupted',
    });
    expect(holder.offsets).toEqual([]);
  });

  it('says that the disk failed when the disk failed', async () => {
    await file.close();
    file = await open(join(folder, 'part'), 'r');
    await expect(get(giving('FR2', content))).rejects.not.toMatchObject({ message: expect.stringContaining('FR2') });
  });
});
