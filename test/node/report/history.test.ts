import { execFileSync } from 'node:child_process';
import { appendFile, mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { Outcome, RunReport, SetReport } from '../../../src/mesh/generated/anemone/node/v1/node.js';
import { systemClock } from '../../../src/mesh/terms/clock.js';
import { type Beginning, lastSuccess, openHistory as openReal, setStatuses } from '../../../src/node/report/history.js';
import { FakeClock } from '../../support/fake-clock.js';
import { temporaryFolder } from '../../support/temporary-folder.js';

/** Of a server that was just set up, unless a test says otherwise. */
const justNow: Beginning = { clock: systemClock, setUpAt: Number.POSITIVE_INFINITY };
const openHistory = (path: string, beginning = justNow) => openReal(path, beginning);

let folder: string;
beforeEach(async () => {
  folder = await temporaryFolder();
});

const report = (startedAtMs: number, outcome = Outcome.OUTCOME_DONE, set = 'backup'): RunReport => ({
  ...RunReport.fromJSON({ trigger: 'schedule' }),
  startedAtMs,
  outcome,
  sets: [{ ...SetReport.fromJSON({ set }), outcome }],
});

describe('the history', () => {
  it('gives back what was appended, also to the next process', async () => {
    const file = join(folder, '.state', 'runs.jsonl');
    const full: RunReport = {
      trigger: 'catch-up',
      startedAtMs: 1_795_000_000_000,
      finishedAtMs: 1_795_000_001_000,
      outcome: Outcome.OUTCOME_PARTLY,
      sets: [
        {
          set: 'backup',
          outcome: Outcome.OUTCOME_DONE,
          backup: 'anemone-backup-FR1-20261123-010000.enc',
          size: 5_000_000_000,
          sequence: 7,
          warnings: ['config/a changed while it was read'],
          moreWarnings: 3,
          problem: undefined,
        },
      ],
      peers: [
        {
          peer: 'FR2',
          outcome: Outcome.OUTCOME_FAILED,
          delivered: [],
          owed: 2,
          bytes: 0,
          problem: { kind: 'unreachable', message: 'FR2 does not answer', hint: '' },
        },
      ],
      removed: ['anemone-backup-FR1-20261101-010000.enc'],
      problems: [],
      audit: undefined,
    };
    await openHistory(file).append(report(1));
    await openHistory(file).append(full);
    expect(await openHistory(file).reports()).toEqual([report(1), full]);
    expect((await stat(file)).mode & 0o777).toBe(0o600);
  });

  it('is empty at first', async () => {
    const history = openHistory(join(folder, 'runs.jsonl'));
    expect(await history.reports()).toEqual([]);
  });

  it('passes over a torn last line, and goes on after it', async () => {
    const file = join(folder, 'runs.jsonl');
    const history = openHistory(file);
    await history.append(report(1));
    await appendFile(file, '{"trigger":"sched');
    expect((await history.reports()).map((each) => each.startedAtMs)).toEqual([1]);
    await history.append(report(2));
    expect((await history.reports()).map((each) => each.startedAtMs)).toEqual([1, 2]);
  });

  it.each([
    ['zeros', Buffer.alloc(4096)],
    ['garbage', Buffer.from('{"trigger":"sched')],
  ])(
    'of which nothing can be read but %s is not taken for none, and is moved away by the next run',
    async (_, bytes) => {
      const file = join(folder, 'runs.jsonl');
      await writeFile(file, bytes);
      const history = openHistory(file);
      const damaged = {
        kind: 'damaged',
        message: expect.stringContaining(file),
        hint: expect.stringContaining('next run'),
      };
      await expect(history.reports()).rejects.toMatchObject(damaged);
      await history.append(report(1));
      expect(await history.isCut()).toBe(true);
      expect((await history.reports()).map((each) => each.startedAtMs)).toEqual([1]);
      expect(await readFile(`${file}.damaged`)).toEqual(bytes);
    },
  );

  it.each([
    { startedAtMs: 'x' },
    { startedAtMs: 1.5 },
    { startedAtMs: 1e300 },
    { startedAtMs: -1 },
    { startedAtMs: 9e15 },
    { finishedAtMs: 9e15 },
    { sets: [{ set: 'backup', size: 1.5 }] },
    { audit: { scrub: { oldestCheckMs: 9e15 } } },
  ])('passes over a line with a number that no message, or no calendar, has: %j', async (damaged) => {
    const file = join(folder, 'runs.jsonl');
    const history = openHistory(file);
    await history.append(report(1));
    await appendFile(file, `${JSON.stringify(damaged)}\n`);
    expect(await history.reports()).toEqual([report(1)]);
  });

  it('keeps the newest 1,000', async () => {
    const file = join(folder, 'runs.jsonl');
    const lines = Array.from({ length: 1000 }, (_, index) => `${JSON.stringify(RunReport.toJSON(report(index)))}\n`);
    await appendFile(file, lines.join(''));
    await openHistory(file).append(report(1000));
    const kept = await openHistory(file).reports();
    expect(kept).toHaveLength(1000);
    expect(kept[0]?.startedAtMs).toBe(1);
    expect(kept.at(-1)?.startedAtMs).toBe(1000);
  });

  it('keeps fewer where they are long: what is read at every status has an end', async () => {
    const file = join(folder, 'runs.jsonl');
    const long = (startedAtMs: number): RunReport => ({ ...report(startedAtMs), removed: ['x'.repeat(2_500_000)] });
    const history = openHistory(file);
    for (let nth = 1; nth <= 5; nth += 1) await history.append(long(nth));
    expect((await history.reports()).map((each) => each.startedAtMs)).toEqual([3, 4, 5]);
    expect((await stat(file)).size).toBeLessThan(11_000_000);
  });

  it('says which file cannot be read, and what to do, and writes nothing over it', async () => {
    const file = join(folder, 'runs.jsonl');
    await mkdir(file);
    const unreadable = {
      kind: 'failed',
      message: expect.stringContaining(file),
      hint: expect.stringContaining('move'),
    };
    await expect(openHistory(file).reports()).rejects.toMatchObject(unreadable);
    expect(await openHistory(file).append(report(1))).toMatchObject(unreadable);
  });

  it('keeps what cannot be written in memory, says so, and writes it with the next one', async () => {
    const file = join(folder, 'runs.jsonl');
    const history = openHistory(file);
    await history.append(report(1));
    expect(history.unsaved()).toBeNull();
    // The temporary cannot be made.
    await mkdir(`${file}.new`);
    for (const startedAtMs of [2, 3]) {
      expect(await history.append(report(startedAtMs, Outcome.OUTCOME_FAILED))).toMatchObject({
        message: expect.stringContaining(`cannot be written to ${file}`),
      });
    }
    expect((await history.reports()).map((each) => each.startedAtMs)).toEqual([1, 2, 3]);
    expect(history.unsaved()).toMatchObject({ hint: expect.stringContaining('restart') });
    expect((await openHistory(file).reports()).map((each) => each.startedAtMs)).toEqual([1]);

    await rm(`${file}.new`, { recursive: true });
    await history.append(report(4));
    expect(history.unsaved()).toBeNull();
    expect((await openHistory(file).reports()).map((each) => each.startedAtMs)).toEqual([1, 2, 3, 4]);
  });

  it('does not wait for a pipe in its place', async () => {
    const file = join(folder, 'runs.jsonl');
    execFileSync('mkfifo', [file]);
    await expect(openHistory(file).reports()).rejects.toMatchObject({ kind: 'failed' });
  });

  it('takes reports of two writers in turn, and leaves no temporary behind', async () => {
    const file = join(folder, 'runs.jsonl');
    const history = openHistory(file);
    await Promise.all([history.append(report(1)), history.append(report(2)), history.append(report(3))]);
    expect((await readFile(file, 'utf8')).trimEnd().split('\n')).toHaveLength(3);
    expect(await readdir(folder)).toEqual(['runs.jsonl']);
  });
});

describe('a history that begins long after its server was set up', () => {
  const day = 86_400_000;
  const setUpAt = Date.parse('2026-01-01T00:00:00Z');
  const openAt = (days: number) =>
    openHistory(join(folder, 'runs.jsonl'), { setUpAt, clock: new FakeClock(setUpAt + days * day) });

  it('has lost its beginning, as where the file has vanished; one that begins soon after has not', async () => {
    expect(await openAt(2).isCut()).toBe(false);
    expect(await openAt(300).isCut()).toBe(true);
    await openAt(300).append(report(setUpAt + 300 * day));
    expect(await openAt(301).isCut()).toBe(true);
    await rm(join(folder, 'runs.jsonl'));
    await openAt(2).append(report(setUpAt + 2 * day));
    expect(await openAt(300).isCut()).toBe(false);
  });

  it('is whole where the clock was behind by then, or the key was made by one that was ahead', async () => {
    expect(await openAt(-300).isCut()).toBe(false);
  });
});

describe('the last success', () => {
  const failed = Outcome.OUTCOME_FAILED;

  it('is the newest run that saved every set', () => {
    expect(lastSuccess([report(1), report(2, Outcome.OUTCOME_PARTLY), report(3, failed)], ['backup'], 0)).toBe(2);
    expect(lastSuccess([report(1), report(2, Outcome.OUTCOME_UNCHANGED)], ['backup'], 0)).toBe(2);
  });
  it('is that of the set that waits longest', () => {
    expect(lastSuccess([report(1, undefined, 'photos'), report(2), report(3)], ['backup', 'photos'], 0)).toBe(1);
  });
  it('is long ago where a set was tried and never saved', () => {
    expect(lastSuccess([report(1, failed)], ['backup'], 1)).toBe(0);
  });
  it('is when the server was set up, before the first run', () => {
    expect(lastSuccess([], ['backup'], 7)).toBe(7);
    expect(lastSuccess([report(9, undefined, 'removed')], ['backup'], 7)).toBe(7);
    expect(lastSuccess([], [], 7)).toBe(7);
  });
  it('is the last run of a server that only keeps the backups of others', () => {
    const keeping = (startedAtMs: number): RunReport => ({ ...report(startedAtMs), sets: [] });
    expect(lastSuccess([keeping(8), keeping(9)], [], 7)).toBe(9);
  });
});

describe('how a set stands', () => {
  const problem = { kind: 'failed', message: 'pg_dump ended with 1', hint: '' };
  const failed = (startedAtMs: number, set: string): RunReport => ({
    ...report(startedAtMs),
    sets: [{ ...SetReport.fromJSON({ set }), outcome: Outcome.OUTCOME_FAILED, problem }],
  });

  it('is told by the last run that tried it, also when later runs were of other sets', () => {
    expect(setStatuses([report(1, undefined, 'db'), failed(2, 'db'), report(3)], ['backup', 'db', 'new'])).toEqual([
      { set: 'backup', triedAtMs: 3, savedAtMs: 3, problem: undefined, warnings: 0, firstWarning: '' },
      { set: 'db', triedAtMs: 2, savedAtMs: 1, problem, warnings: 0, firstWarning: '' },
    ]);
  });

  it('counts what was left out, and names the first of it', () => {
    const told = SetReport.fromJSON({ set: 'backup', warnings: ['a', 'b'], moreWarnings: 7 });
    const partly = { ...told, outcome: Outcome.OUTCOME_PARTLY };
    expect(setStatuses([{ ...report(1), sets: [partly] }], ['backup'])).toMatchObject([
      { savedAtMs: 1, warnings: 9, firstWarning: 'a' },
    ]);
  });
});
