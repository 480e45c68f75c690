import { randomBytes } from 'node:crypto';
import { mkdir, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { FakeClock } from '../support/fake-clock.js';
import { type MeshServer, reportOf, withMesh, withRelay } from '../support/mesh.js';

const atTwo = (text: string): string =>
  text.replace(/schedule: .*/, 'schedule: "0 2 * * *"').replace(/timezone: .*/, 'timezone: Europe/Paris');
const atHalfPastTwo = (text: string): string =>
  `${atTwo(text).replace('0 2 * * *', '30 2 * * *')}`.replace('  sets:', '  jitter: 0\n  sets:');

const statusOf = (server: MeshServer) => server.ask((node) => node.getStatus());

describe('the night', { timeout: 180_000 }, () => {
  it('comes at two in the time zone of the configuration, and a little later on each server', () =>
    withMesh(['FR1', 'FR2'], async ([fr1, fr2]) => {
      const clock = new FakeClock('2026-11-23T00:59:50Z');
      await fr1.edit(atTwo);
      await fr2.edit(atTwo);
      await fr2.startInside(new FakeClock('2026-11-23T00:59:50Z'));
      await fr1.startInside(clock);
      const [mine, its] = [(await statusOf(fr1)).nextRunAtMs, (await statusOf(fr2)).nextRunAtMs];
      const two = Date.parse('2026-11-23T02:00:00+01:00');
      for (const due of [mine, its]) {
        expect(due).toBeGreaterThanOrEqual(two);
        expect(due).toBeLessThan(two + 5 * 60_000);
      }
      expect(mine).not.toBe(its);

      await clock.advance(mine - clock.now() - 1);
      expect(fr1.events.count('run started')).toBe(0);
      await clock.advance(1);
      await fr1.events.until('run started', ({ trigger }) => trigger === 'schedule');
      await fr1.events.until('run finished');
      expect(await fr2.holds('FR1')).toHaveLength(1);
      expect((await statusOf(fr1)).nextRunAtMs).toBeGreaterThanOrEqual(two + 24 * 3_600_000);
    }));

  it('that was missed is caught up once, at the start', () =>
    withMesh(['FR1', 'FR2'], async ([fr1, fr2]) => {
      const clock = new FakeClock('2026-11-23T12:00:00Z');
      await fr1.edit(atTwo);
      await fr2.startInside();
      await fr1.startInside(clock);
      expect((await fr1.peer(['backup'])).code).toBe(0);
      await fr1.stop();
      clock.jump(3 * 24 * 3_600_000);
      await fr1.startInside(clock);
      await fr1.events.until('run started', ({ trigger }) => trigger === 'catch-up');
      await fr1.events.until('run finished');
      await fr1.stop();
      await fr1.startInside(clock);
      await clock.advance(120_000);
      expect(fr1.events.count('run started')).toBe(0);
    }));

  it.each([
    ['has a set', (text: string) => text],
    [
      'only keeps the backups of others',
      (text: string) => text.replace(/ {2}sets:\n[\s\S]*?(?=^ {2}encryption:)/m, ''),
    ],
  ])('is caught up by a server that is always off at night, from the day after it was set up: it %s', (_what, change) =>
    withMesh(['FR1'], async ([fr1], mesh) => {
      const clock = new FakeClock(mesh.setUpAt + 3_600_000);
      await fr1.edit((text) => change(atTwo(text)));
      await fr1.startInside(clock);
      await clock.advance(14 * 3_600_000);
      expect(fr1.events.count('run started')).toBe(0);
      for (let morning = 0; morning < 2; morning += 1) {
        await fr1.stop();
        clock.jump(10 * 3_600_000);
        await fr1.startInside(clock);
        await fr1.events.until('run finished', ({ trigger }) => trigger === 'catch-up');
        clock.jump(14 * 3_600_000);
      }
    }),
  );

  it('is not held up by a run that waits for a slow delivery: that run ends, and the delivery goes on', () =>
    withRelay(async (fr1, fr2, relay) => {
      await fr1.edit((text) => `${atHalfPastTwo(text)}\nlimits: { upload: 20KB }\n`);
      await writeFile(join(fr1.folder, 'config/large.bin'), randomBytes(4_000_000));
      const clock = new FakeClock('2026-11-23T01:29:30Z');
      await fr2.startInside();
      await fr1.startInside(clock);
      const run = fr1.peer(['backup', '--json']);
      await relay.untilSent(20_000);
      await clock.advance(30_000);
      const report = reportOf((await run).stdout);
      expect(report).toMatchObject({
        outcome: 'partly',
        sets: [{ outcome: 'done' }],
        peers: [{ problem: { message: expect.stringContaining('was not over when the next run was due') } }],
      });

      await fr1.edit((text) => text.replace('upload: 20KB', 'upload: "00:00 off"'));
      await fr1.ask((node) => node.reload());
      let nextTry = 0;
      while (nextTry === 0) nextTry = (await statusOf(fr1)).peers[0]?.nextTryAtMs ?? 0;
      await clock.advance(nextTry - clock.now());
      await fr1.events.until('backup delivered', ({ backup }) => backup === report.sets[0].backup);
      await clock.advance(Date.parse('2026-11-23T01:31:00Z') - clock.now());
      await fr1.events.until('run finished', ({ trigger }) => trigger === 'schedule');
    }));

  it.each([
    ['the hour that comes twice', '2026-10-25T00:29:30Z', '2026-10-26T02:30:00+01:00'],
    ['the hour that does not exist', '2027-03-28T00:59:30Z', '2027-03-29T02:30:00+02:00'],
  ])('happens exactly once in %s', (_when, before, next) =>
    withMesh(['FR1'], async ([fr1]) => {
      const clock = new FakeClock(before);
      await fr1.edit(atHalfPastTwo);
      await fr1.startInside(clock);
      await clock.advance(60_000);
      await fr1.events.until('run finished');
      await clock.advance(2 * 3_600_000);
      expect(fr1.events.count('run started')).toBe(1);
      expect((await statusOf(fr1)).nextRunAtMs).toBe(Date.parse(next));
    }),
  );

  it('is skipped only when nothing changed and every peer has the last backup', () =>
    withMesh(['FR1', 'FR2'], async ([fr1, fr2]) => {
      await fr1.startInside();
      const first = reportOf((await fr1.peer(['backup', '--json'])).stdout);
      const second = reportOf((await fr1.peer(['backup', '--json'])).stdout);
      expect([first.outcome, second.outcome]).toEqual(['partly', 'partly']);
      expect(second.sets[0].backup).toBe(first.sets[0].backup);
      await fr2.startInside();
      expect(reportOf((await fr1.peer(['backup', '--json'])).stdout)).toMatchObject({
        outcome: 'done',
        sets: [{ backup: first.sets[0].backup }],
        peers: [{ delivered: [first.sets[0].backup] }],
      });
      expect(reportOf((await fr1.peer(['backup', '--json'])).stdout).outcome).toBe('unchanged');
      await writeFile(join(fr1.folder, 'config/new'), 'new');
      expect(reportOf((await fr1.peer(['backup', '--json'])).stdout)).toMatchObject({
        outcome: 'done',
        sets: [{ sequence: 2 }],
      });
    }));

  it('in which one set fails is found by the doctor, and by who watches the status, also once another set was saved after it', () =>
    withMesh(['FR1', 'FR2'], async ([fr1, fr2]) => {
      const dump = join(fr1.folder, 'dump.sql');
      await writeFile(dump, 'create table kept ();');
      await fr1.sets('backup:\n  paths: [./config]\ndatabase:\n  command: [cat, dump.sql]');
      await Promise.all([fr1.startInside(), fr2.startInside()]);
      expect((await fr1.peer(['backup'])).code).toBe(0);
      await rm(dump);
      expect((await fr1.peer(['backup'])).code).toBe(3);
      expect((await fr1.peer(['backup', '--set', 'backup', '--force'])).code).toBe(0);
      const status = await fr1.peer(['status', '--json']);
      expect([status.code, JSON.parse(status.stdout).server.ok]).toEqual([3, false]);
      const { code, stdout } = await fr1.peer(['doctor', '--json']);
      expect(code).toBe(1);
      expect(JSON.parse(stdout).findings).toContainEqual(
        expect.objectContaining({
          check: 'runs',
          severity: 'error',
          problem: expect.stringMatching(/^the set database was not saved .*: .*dump\.sql/),
          why: expect.stringContaining('It was saved last'),
        }),
      );
    }));

  it('makes the kit again alone, where somebody asks for that', () =>
    withMesh(['FR1', 'FR2'], async ([fr1, fr2]) => {
      await Promise.all([fr1.startInside(), fr2.startInside()]);
      const { code, stdout } = await fr1.peer(['backup', '--set', 'kit']);
      expect(code).toBe(0);
      expect(stdout).toContain('anemone-kit-FR1-');
    }));

  it('is made, and what is kept is served, where the history of past runs cannot be read', () =>
    withMesh(['FR1', 'FR2'], async ([fr1, fr2]) => {
      const runs = join(fr1.data, '.state/runs.jsonl');
      await mkdir(runs);
      await Promise.all([fr1.startInside(), fr2.startInside()]);
      await fr1.events.until('past runs not known', ({ reason }) => String(reason).includes(runs));
      expect((await fr2.peer(['backup'])).code).toBe(0);
      expect(await fr1.holds('FR2')).toHaveLength(1);
      expect(reportOf((await fr1.peer(['backup', '--json'])).stdout)).toMatchObject({
        outcome: 'partly',
        sets: [{ outcome: 'done' }],
        peers: [{ outcome: 'done' }],
        removed: [],
      });

      const status = await fr1.peer(['status']);
      expect(status.stdout).toMatch(/^last run\tnot known$/m);
      expect(status.stdout).toContain(`finding\tthe history of runs, ${runs}, cannot be read: EISDIR`);
      const { findings } = JSON.parse((await fr1.peer(['doctor', '--json'])).stdout);
      expect(findings.filter(({ check }: { check: string }) => check === 'runs')).toMatchObject([
        { severity: 'warning', problem: expect.stringContaining(runs), mend: expect.stringContaining('move it away') },
      ]);
    }));

  it('that failed is told by the status and the doctor also where its report cannot be written', () =>
    withMesh(['FR1', 'FR2'], async ([fr1, fr2]) => {
      const runs = join(fr1.data, '.state/runs.jsonl');
      await Promise.all([fr1.startInside(), fr2.startInside()]);
      expect((await fr1.peer(['backup'])).code).toBe(0);
      await mkdir(`${runs}.new`);
      await fr1.sets('backup:\n  command: [sh, -c, "exit 7"]');
      expect((await fr1.peer(['backup'])).code).toBe(1);

      const status = await fr1.peer(['status']);
      expect(status.code).toBe(3);
      expect(status.stdout).toMatch(/^last run\tfailed, /m);
      expect(status.stdout).toContain(`finding\tthe report of the last run cannot be written to ${runs}`);
      expect(status.stdout).toMatch(/^finding\tthe set backup was not saved .*exit code 7/m);
      const { findings } = JSON.parse((await fr1.peer(['doctor', '--json'])).stdout);
      expect(findings.filter(({ check }: { check: string }) => check === 'runs')).toMatchObject([
        { severity: 'error', problem: expect.stringContaining('the set backup was not saved') },
        { severity: 'warning', problem: expect.stringContaining(runs), mend: expect.stringContaining('df -i') },
      ]);
    }));

  it('removes nothing while the history of past runs is damaged, nor before a new one is a day old', () =>
    withMesh(['FR1', 'FR2'], async ([fr1, fr2]) => {
      const runs = join(fr1.data, '.state/runs.jsonl');
      await fr1.edit((text) => text.replace('keep_last: 7', 'keep_last: 1'));
      const clock = new FakeClock();
      await Promise.all([fr1.startInside(clock), fr2.startInside(clock)]);
      expect((await fr1.peer(['backup'])).code).toBe(0);
      await writeFile(runs, Buffer.alloc(4096));
      clock.jump(3_600_000);
      const first = reportOf((await fr1.peer(['backup', '--force', '--json'])).stdout);
      expect(first).toMatchObject({ outcome: 'partly', removed: [], problems: [{ kind: 'damaged' }] });
      expect(await fr1.holds('local')).toHaveLength(2);
      clock.jump(60_000);
      const second = reportOf((await fr1.peer(['backup', '--force', '--json'])).stdout);
      const young = expect.stringContaining('its history was damaged or lost');
      expect(second).toMatchObject({ outcome: 'partly', removed: [], problems: [{ kind: 'failed', message: young }] });
      expect(await fr1.holds('local')).toHaveLength(3);
      clock.jump(86_400_000);
      const third = reportOf((await fr1.peer(['backup', '--force', '--json'])).stdout);
      expect(third).toMatchObject({ outcome: 'done', problems: [] });
      expect(await fr1.holds('local')).toHaveLength(1);
    }));

  it('removes nothing where the history of past runs has vanished, before a new one is a day old', () =>
    withMesh(['FR1', 'FR2'], async ([fr1, fr2], mesh) => {
      await fr1.edit((text) => text.replace('keep_last: 7', 'keep_last: 1'));
      const clock = new FakeClock(mesh.setUpAt);
      await Promise.all([fr1.startInside(clock), fr2.startInside(clock)]);
      const run = async () => reportOf((await fr1.peer(['backup', '--force', '--json'])).stdout);
      for (const days of [1, 20, 20]) {
        clock.jump(days * 86_400_000);
        expect(await run()).toMatchObject({ outcome: 'done' });
      }
      await rm(join(fr1.data, '.state/runs.jsonl'));
      for (const hours of [1, 2]) {
        clock.jump(hours * 3_600_000);
        const problems = [
          { kind: 'failed', message: expect.stringContaining('no run is known that is older than 20 hours') },
        ];
        expect(await run()).toMatchObject({ outcome: 'partly', removed: [], problems });
      }
      clock.jump(86_400_000);
      expect(await run()).toMatchObject({ outcome: 'done' });
      expect(await fr1.holds('local')).toHaveLength(1);
    }));

  it('tells what retention removed also when the receipts of it cannot be removed', () =>
    withMesh(['FR1', 'FR2'], async ([fr1, fr2]) => {
      await fr1.edit((text) => text.replace('keep_last: 7', 'keep_last: 1'));
      const clock = new FakeClock();
      await Promise.all([fr1.startInside(clock), fr2.startInside(clock)]);
      expect((await fr1.peer(['backup'])).code).toBe(0);
      const first = await fr1.holds('local');
      const loop = join(fr1.data, '.state/receipts/loop');
      await symlink(loop, loop);
      clock.jump(86_400_000);
      const told = reportOf((await fr1.peer(['backup', '--force', '--json'])).stdout);
      const unpruned = expect.stringContaining('the receipts of removed backups could not be removed');
      expect(told).toMatchObject({ outcome: 'partly', removed: first, problems: [{ message: unpruned }] });
    }));

  it('rotates here by the rules of the sender, and on the peer by the rules of the receiver alone', () =>
    withMesh(['FR1', 'FR2'], async ([fr1, fr2]) => {
      await fr1.edit((text) => text.replace('keep_last: 7', 'keep_last: 2'));
      const strict = 'keep_last: 1, keep_daily: 0, keep_weekly: 0, keep_monthly: 0, minimum_days: 0';
      await fr2.edit((text) => text.replace(/peers: \{ keep_last.*/, `peers: { ${strict} }`));
      const clock = new FakeClock('2026-11-23T12:00:00Z');
      await Promise.all([fr1.startInside(clock), fr2.startInside(clock)]);
      for (let night = 0; night < 3; night += 1) {
        clock.jump(86_400_000);
        expect((await fr1.peer(['backup', '--force'])).code).toBe(0);
      }
      const made = await fr2.holds('FR1');
      expect(made).toHaveLength(3);
      expect(await fr1.holds('local')).toEqual(made.slice(1));
      const swept = await fr2.peer(['backup', '--json']);
      expect(reportOf(swept.stdout).removed.sort()).toEqual(made.slice(0, 2));
      expect(await fr2.holds('FR1')).toEqual(made.slice(2));
      expect((await fr1.peer(['backup'])).stdout).toContain('Nothing changed');
      expect(await fr2.holds('FR1')).toEqual(made.slice(2));
    }));

  it('removes nothing by a clock that jumped ahead, says why, and removes the night after what no rule keeps', () =>
    withMesh(['FR1', 'FR2'], async ([fr1, fr2]) => {
      await fr1.edit((text) => text.replace('keep_last: 7', 'keep_last: 1'));
      const clock = new FakeClock('2026-11-23T12:00:00Z');
      await Promise.all([fr1.startInside(clock), fr2.startInside(clock)]);
      const backup = async () => reportOf((await fr1.peer(['backup', '--force', '--json'])).stdout);
      expect(await backup()).toMatchObject({ outcome: 'done' });
      const first = await fr1.holds('local');

      clock.jump(365 * 86_400_000);
      expect(await backup()).toMatchObject({
        outcome: 'partly',
        removed: [],
        problems: [{ message: expect.stringContaining('the last run was 365 days ago: no old backups are removed') }],
      });
      clock.jump(60_000);
      expect(await backup()).toMatchObject({
        removed: [],
        problems: [
          { message: expect.stringContaining('365 days passed between two of the last runs: no old backups') },
        ],
      });
      expect(await fr1.holds('local')).toHaveLength(3);

      clock.jump(86_400_000);
      expect((await backup()).removed).toEqual(expect.arrayContaining(first));
      expect(await fr1.holds('local')).toHaveLength(1);
    }));

  it('goes on with the other sets when one fails', () =>
    withMesh(['FR1', 'FR2'], async ([fr1, fr2]) => {
      await fr1.sets(`
first:
  command: [sh, -c, "echo no database >&2; exit 3"]
backup:
  paths: [./config]
last:
  command: [echo, hello]
`);
      await Promise.all([fr1.startInside(), fr2.startInside()]);
      const { code, stdout } = await fr1.peer(['backup', '--json']);
      expect(code).toBe(3);
      expect(reportOf(stdout)).toMatchObject({
        outcome: 'partly',
        sets: [
          { set: 'first', outcome: 'failed', problem: { message: expect.stringContaining('no database') } },
          { set: 'backup', outcome: 'done' },
          { set: 'last', outcome: 'done' },
        ],
        peers: [{ peer: 'FR2', outcome: 'done', owed: 0 }],
      });
      expect(await fr2.holds('FR1')).toHaveLength(2);
    }));
});
