import { createHash } from 'node:crypto';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Outcome, type RunEvent, RunReport } from '../../../src/mesh/generated/anemone/node/v1/node.js';
import { Failure } from '../../../src/mesh/terms/failure.js';
import { summaryOf } from '../../../src/node/report/summary.js';
import type { NightSet } from '../../../src/node/run/keep-set.js';
import { openSource } from '../../../src/node/sources/open-source.js';
import { warningsOf } from '../../support/warnings.js';
import { nothingRead, Stage, setOf } from './night-stage.js';

const { OUTCOME_DONE: done, OUTCOME_PARTLY: partly, OUTCOME_FAILED: failed, OUTCOME_UNCHANGED: unchanged } = Outcome;
const firstName = 'anemone-backup-FR1-20261123-010000.enc';
const day = 86_400_000;

let stage: Stage;
beforeEach(async () => {
  stage = await Stage.open('FR2', 'US1');
});
afterEach(async () => {
  expect(await stage.drafts()).toEqual([]);
  await stage.close();
  expect(stage.clock.pending()).toBe(0);
});

const config = setOf('backup', 'listen: ', '10.8.0.1');
const broken = (name = 'db') =>
  setOf(name, 'half', () => {
    throw new Error('pg_dump ended with code 1');
  });
const unreachable = () => Promise.reject(new Failure('unreachable', 'no answer'));
const leavingOut: NightSet = {
  ...config,
  read(context) {
    context.warn('config/a is left out');
    return config.read(context);
  },
};

describe('a night', () => {
  it('seals the source, keeps it, delivers it everywhere, sweeps, and reports', async () => {
    const report = await stage.run([config]);
    expect(report).toEqual({
      trigger: 'schedule',
      startedAtMs: Date.parse('2026-11-23T01:00:00.700Z'),
      finishedAtMs: Date.parse('2026-11-23T01:00:00.700Z'),
      outcome: done,
      sets: [
        {
          set: 'backup',
          outcome: done,
          backup: firstName,
          size: 38,
          sequence: 1,
          warnings: [],
          moreWarnings: 0,
          problem: undefined,
        },
      ],
      peers: [
        { peer: 'FR2', outcome: done, delivered: [firstName], owed: 0, bytes: 38, problem: undefined },
        { peer: 'US1', outcome: done, delivered: [firstName], owed: 0, bytes: 38, problem: undefined },
      ],
      removed: ['anemone-backup-FR1-20260101-010000.enc'],
      problems: [],
      audit: { peers: [], scrub: nothingRead },
    });
    expect(await stage.content(firstName)).toBe('age-encryption.org/v1\nlisten: 10.8.0.1');
    expect(stage.recorded).toEqual([report]);
    expect(stage.events.at(-1)).toEqual({ event: { $case: 'report', value: report } });
  });

  it('asks peers first, has them prove what they hold after the delivery, and then reads again what is kept', async () => {
    stage.audited.lost.push({ peer: 'FR2', proven: [], lost: ['x.enc'], gone: [], bytes: 0, problem: undefined });
    const report = await stage.run([config]);
    expect(stage.audited.order).toEqual(['asked before 1', 'proofs after 1,1', 'scrub at night']);
    expect(report.audit).toEqual({ peers: stage.audited.lost, scrub: nothingRead });
    await stage.run([config], { trigger: 'request' });
    expect(stage.audited.order.at(-1)).toBe('scrub while waited for');
  });

  it('is partly done when a peer has lost a backup', async () => {
    stage.audited.problems.push({ kind: 'damaged', message: 'FR2 has lost x.enc', hint: '' });
    expect(await stage.run([config])).toMatchObject({ outcome: partly, problems: stage.audited.problems });
  });

  it('reads its sets while peers are asked what they hold, and gives no number before it knows', async () => {
    let answered = (): void => {};
    stage.asking = new Promise<void>((resolve) => {
      answered = resolve;
    });
    const reading = setOf('backup', 'listen: 10.8.0.1', async () => {
      stage.showFormer(41);
      answered();
    });
    expect((await stage.run([reading])).sets).toMatchObject([{ outcome: done, sequence: 1042 }]);
  });

  it('has a peer prove what it holds that was away at first, and took a backup since', async () => {
    const problem = { kind: 'unreachable', message: 'FR2 does not answer', hint: '' };
    for (const peer of ['FR2', 'US1']) {
      stage.audited.lost.push({ peer, proven: [], lost: [], gone: [], bytes: 0, problem });
    }
    for (const peer of stage.peers) if (peer.name === 'US1') peer.instead = unreachable;
    const { audit } = await stage.run([config]);
    expect(audit?.peers.map((each) => each.problem)).toEqual([undefined, problem]);
  });

  it('is partly done when a peer shows what this server does not know of any more', async () => {
    stage.audited.told.push({ kind: 'conflict', message: 'FR2 holds x.enc, which this server signed', hint: '' });
    expect(await stage.run([config])).toMatchObject({ outcome: partly, problems: stage.audited.told });
  });

  it('signs a manifest that goes on from the one before', async () => {
    await stage.run([config]);
    await stage.clock.advance(day);
    await stage.run([setOf('backup', 'listen: 10.8.0.2')]);
    const [first, second] = await stage.backups();
    expect(first?.facts).toMatchObject({ owner: 'FR1', set: 'backup', sequence: 1, format: 'age' });
    expect(first?.facts.createdAtMs).toBe(Date.parse('2026-11-23T01:00:00Z'));
    expect(first?.facts.previous).toHaveLength(0);
    expect(second?.facts.sequence).toBe(2);
    expect(Buffer.from(second?.facts.previous ?? [])).toEqual(first?.digest);
  });

  it('goes on from what its peers know when the server was rebuilt', async () => {
    const former = stage.showFormer(41);
    await stage.run([config]);
    const [first] = await stage.backups();
    expect(first?.facts).toMatchObject({ sequence: 1042 });
    expect(Buffer.from(first?.facts.previous ?? [])).toEqual(former.digest);
  });

  it('uses the next free second for a second run within the same one', async () => {
    await stage.run([config]);
    await stage.run([config], { force: true });
    await stage.run([config], { force: true });
    expect(await stage.local()).toEqual([
      firstName,
      'anemone-backup-FR1-20261123-010001.enc',
      'anemone-backup-FR1-20261123-010002.enc',
    ]);
  });

  it('lets each set succeed or fail on its own', async () => {
    const report = await stage.run([broken('one'), config, broken('two')]);
    expect(report.outcome).toBe(partly);
    expect(report.sets.map((set) => set.outcome)).toEqual([failed, done, failed]);
    expect(report.sets[0]?.problem).toEqual({
      kind: 'failed',
      message: 'set one: pg_dump ended with code 1',
      hint: '',
    });
    expect(await stage.local()).toEqual([firstName]);
  });

  describe('when a set fails by what may pass, as an app that restarts', () => {
    /** A set of an app that comes back after so many tries. */
    function restarting(tries: number, failure = new Failure('failed', 'app: ECONNREFUSED', { retryable: true })) {
      let asked = 0;
      const set = setOf(
        'app',
        () => {
          asked += 1;
          if (asked <= tries) throw failure;
        },
        'export',
      );
      return { set, asked: () => asked };
    }

    it('tries that set once more two minutes after the others', async () => {
      const app = restarting(1);
      const report = await stage.clock.runUntil(stage.run([app.set, config]));
      expect(report.outcome).toBe(done);
      expect(report.sets.map(({ set }) => set)).toEqual(['app', 'backup']);
      const [backup, later] = (await stage.backups()).map(({ facts }) => facts);
      expect([backup?.set, later?.set]).toEqual(['backup', 'app']);
      expect((later?.createdAtMs ?? 0) - (backup?.createdAtMs ?? 0)).toBeGreaterThanOrEqual(120_000);
    });

    it('tries the command of a set once more that failed with an exit code', async () => {
      const dump = 'test -e refused || { touch refused; echo connection refused >&2; exit 1; }; echo dump';
      const source = openSource(
        { kind: 'command', command: ['sh', '-c', dump], timeout: 86_400 },
        stage.files.data,
        [],
      );
      const database = { ...source, name: 'database', sealed: false, silence: day };
      const report = await stage.clock.runUntil(stage.run([database]));
      expect(report.outcome).toBe(done);
    });

    it('says so when it fails again', async () => {
      const app = restarting(2);
      const report = await stage.clock.runUntil(stage.run([config, app.set]));
      expect(report.sets.map(({ outcome }) => outcome)).toEqual([done, failed]);
      expect(app.asked()).toBe(2);
    });

    it('does not when somebody waits for it, or the disk is full, which reading all of it again makes no better', async () => {
      const [waited, full] = [restarting(1), restarting(1, new Failure('no-space', 'full', { retryable: true }))];
      expect((await stage.run([waited.set], { trigger: 'request' })).outcome).toBe(failed);
      expect((await stage.run([full.set])).outcome).toBe(failed);
    });

    it('does not wait for that once it is interrupted', async () => {
      const interrupt = new AbortController();
      const app = restarting(1);
      const run = stage.run([app.set], { signal: interrupt.signal });
      while (stage.clock.pending() !== 1 || app.asked() === 0) await setImmediate();
      interrupt.abort();
      expect((await run).sets[0]?.problem).toMatchObject({ message: 'app: ECONNREFUSED' });
      expect(app.asked()).toBe(1);
    });
  });

  it('is partly done when something was left out of a set', async () => {
    const report = await stage.run([leavingOut]);
    expect(report.outcome).toBe(partly);
    expect(report.sets[0]).toMatchObject({ outcome: partly, warnings: ['config/a is left out'] });
  });

  it('reports the first hundred warnings of a set and how many more there were, and logs all of them', async () => {
    const report = await stage.run([
      {
        ...config,
        read(context) {
          for (let file = 0; file < 50_000; file += 1) context.warn(`"${'deep/'.repeat(100)}${file}" is left out`);
          return config.read(context);
        },
      },
    ]);
    expect(report.sets[0]).toMatchObject({ outcome: partly, moreWarnings: 49_900 });
    expect(report.sets[0]?.warnings).toHaveLength(100);
    expect(RunReport.encode(report).finish().length).toBeLessThan(65_536);
    expect(summaryOf(report)).toContain('with 50000 warnings');
    expect(stage.logged.filter((line) => line.endsWith('is left out'))).toHaveLength(50_000);
  });

  it('is partly done, once, when a set is less than a tenth of what it was', async () => {
    await stage.run([setOf('backup', 'x'.repeat(70_000)), setOf('db', 'x'.repeat(60_000))]);
    await stage.clock.advance(day);
    const shrunk = [setOf('backup', 'x'.repeat(6000)), setOf('db', 'x'.repeat(600))];
    const report = await stage.run(shrunk);
    expect(report.outcome).toBe(partly);
    expect(report.sets.map(({ outcome, sequence, warnings }) => ({ outcome, sequence, warnings }))).toEqual([
      { outcome: partly, sequence: 2, warnings: [expect.stringMatching(/^this backup has 5\.88 KiB, .* 68\.4 KiB: /)] },
      { outcome: done, sequence: 2, warnings: [] },
    ]);
    expect((await stage.run(shrunk)).outcome).toBe(unchanged);
    expect((await stage.run(shrunk, { force: true })).outcome).toBe(done);
  });

  it('is partly done when the number of a backup could not be written down: it may be given twice', async () => {
    await mkdir(join(stage.vault.layout.state, 'chain', 'backup.manifest.new'), { recursive: true });
    const report = await stage.run([config]);
    expect(report.outcome).toBe(partly);
    expect(report.sets[0]).toMatchObject({
      outcome: partly,
      backup: firstName,
      warnings: [expect.stringMatching(/number 1 could not be written down.*: .*chain/)],
    });
  });

  it('is done when a source remarks on what a person should see to, and logs that', async () => {
    const report = await stage.run([
      {
        ...config,
        read(context) {
          context.remark('run `chmod 600 token`');
          return config.read(context);
        },
      },
    ]);
    expect(report).toMatchObject({ outcome: done, sets: [{ warnings: [] }] });
    expect(stage.logged).toEqual(['source remarked: run `chmod 600 token`']);
  });

  it('is partly done when no peer can be reached: the local copy exists', async () => {
    for (const peer of stage.peers) peer.instead = unreachable;
    const report = await stage.run([config]);
    expect(report.outcome).toBe(partly);
    expect(await stage.local()).toEqual([firstName]);
  });

  it('mistake 2 of the predecessor: no peers were found, and that was success', async () => {
    await stage.outbox.follow([]);
    const report = await stage.run([config]);
    expect(report.outcome).toBe(partly);
    expect(report.problems).toMatchObject([{ kind: 'config', message: expect.stringContaining('no peer') }]);
  });

  it('mistake 3 of the predecessor: exit code 0 when every peer had failed', async () => {
    for (const peer of stage.peers) peer.instead = unreachable;
    await stage.run([config]);
    await stage.clock.advance(day);
    expect((await stage.run([config])).outcome).toBe(partly);
    expect((await stage.run([broken()])).outcome).toBe(failed);
    // A server that only keeps the backups of others has no set to fail; its peers did.
    expect((await stage.run([])).outcome).toBe(partly);
  });

  it('refuses plaintext from a source that promises ciphertext, and keeps nothing', async () => {
    const report = await stage.run([{ ...setOf('export', '{"error":"it is being prepared"}'), sealed: true }]);
    expect(report.sets[0]?.problem).toMatchObject({
      kind: 'invalid',
      message: expect.stringContaining('gave plaintext (JSON)'),
      hint: expect.stringContaining('sealed: true'),
    });
    expect(report.outcome).toBe(failed);
    expect(await stage.local()).toEqual([]);
  });

  it('passes ciphertext through as it is', async () => {
    const report = await stage.run([{ ...setOf('export', 'age-encryption.org/v1\n', 'secret'), sealed: true }]);
    expect(await stage.content(report.sets[0]?.backup ?? '')).toBe('age-encryption.org/v1\nsecret');
    expect((await stage.backups())[0]?.facts.format).toBe('age');
  });

  it('passes ciphertext through although nothing can be sealed, and says so of what is to be', async () => {
    stage.sealing = { ...stage.sealing, sealer: () => Promise.reject(new Failure('config', 'no age recipient')) };
    const report = await stage.run([{ ...setOf('export', 'age-encryption.org/v1\n', 'secret'), sealed: true }, config]);
    expect(report.sets.map(({ outcome, problem }) => [outcome, problem?.message])).toEqual([
      [done, undefined],
      [failed, 'no age recipient'],
    ]);
  });

  it('never takes nothing for a backup', async () => {
    for (const sealed of [true, false]) {
      const report = await stage.run([{ ...setOf('backup'), sealed }]);
      expect(report.outcome).toBe(failed);
      expect(report.sets[0]?.problem?.message).toContain('gave no bytes');
    }
  });

  it('tells what did not work beside the backup', async () => {
    stage.failSweep = true;
    stage.failRecord = true;
    const report = await stage.run([config]);
    expect(report.outcome).toBe(partly);
    expect(report.problems.map((problem) => problem.message)).toEqual([
      'retention: the disk is read-only',
      'the history cannot be written: the disk is full',
    ]);
    expect(stage.recorded).toMatchObject([{ problems: [{ message: 'retention: the disk is read-only' }] }]);
  });

  it('tells what the retention removed, and each backup that it could not', async () => {
    const stuck = ['one', 'two'].map((name) => new Failure('failed', `${name} could not be removed: the disk says no`));
    stage.stuck = stuck;
    const report = await stage.run([config]);
    expect(report.outcome).toBe(partly);
    expect(report.removed).toEqual(['anemone-backup-FR1-20260101-010000.enc']);
    expect(report.problems.map((problem) => problem.message)).toEqual(stuck.map(({ message }) => message));
  });
});

describe('an incremental night', () => {
  it('skips a set that did not change and that every peer has', async () => {
    await stage.run([config]);
    await stage.clock.advance(day);
    const report = await stage.run([config]);
    expect(report.outcome).toBe(unchanged);
    expect(report.sets[0]).toMatchObject({ outcome: unchanged, backup: firstName, sequence: 1, size: 38 });
    expect(await stage.local()).toEqual([firstName]);
  });

  it('is partly done as long as something is left out, also where nothing else changed', async () => {
    await stage.run([leavingOut]);
    await stage.clock.advance(day);
    const report = await stage.run([leavingOut]);
    expect(report.outcome).toBe(partly);
    expect(report.sets[0]).toMatchObject({ outcome: partly, backup: firstName, warnings: ['config/a is left out'] });
    expect(summaryOf(report)).toContain(`set backup is in ${firstName} with 1 warning`);
    expect(await stage.local()).toEqual([firstName]);
  });

  it('does not skip when a peer lacks the last backup: it delivers that one, and makes no other', async () => {
    const [fr2] = stage.peers;
    if (fr2 !== undefined) fr2.instead = unreachable;
    await stage.run([config]);
    await stage.clock.advance(day);
    expect((await stage.run([config])).outcome).toBe(partly);
    if (fr2 !== undefined) fr2.instead = undefined;
    const report = await stage.run([config]);
    expect(report.outcome).toBe(done);
    expect(report.sets[0]).toMatchObject({ outcome: done, backup: firstName });
    expect(report.peers[0]?.delivered).toEqual([firstName]);
    expect(await stage.local()).toEqual([firstName]);
  });

  it('makes a backup of what changed', async () => {
    await stage.run([config, setOf('db', 'rows')]);
    await stage.clock.advance(day);
    const report = await stage.run([config, setOf('db', 'more rows')]);
    expect(report.sets.map((set) => [set.outcome, set.sequence])).toEqual([
      [unchanged, 1],
      [done, 2],
    ]);
  });

  it('makes a backup of the same bytes in mode always, when forced, and when it is sealed for somebody else', async () => {
    await stage.run([config]);
    await stage.run([config], { force: true });
    stage.sealing = { ...stage.sealing, mode: 'always' };
    await stage.run([config]);
    stage.sealing = { ...stage.sealing, mode: 'incremental', sealedFor: 'age1two' };
    await stage.run([config]);
    expect((await stage.backups()).map((backup) => backup.facts.sequence)).toEqual([1, 2, 3, 4]);
    expect((await stage.run([config])).outcome).toBe(unchanged);
  });

  it('mistake 4 of the predecessor: the checksum was saved before the backup succeeded', async () => {
    const file = join(stage.fingerprints, 'backup.json');
    await stage.run([setOf('backup', 'before')]);
    const saved = await readFile(file, 'utf8');
    stage.disk.fail('ENOSPC', (call) => stage.disk.calls[call] === 'link');
    expect((await stage.run([config])).outcome).toBe(failed);
    expect(await readFile(file, 'utf8')).toBe(saved);
    stage.disk.fail('ENOSPC', () => false);
    expect((await stage.run([config])).outcome).toBe(done);
    expect(await stage.local()).toHaveLength(2);
  });

  it('makes a backup of unchanged bytes when only peers have the last one: this server was rebuilt', async () => {
    await stage.run([config]);
    await stage.vault.remove(firstName);
    await stage.clock.advance(day);
    expect((await stage.run([config])).sets[0]).toMatchObject({ outcome: done, sequence: 2 });
  });

  it('does not believe a fingerprint of another backup than the newest, nor one that is damaged', async () => {
    const file = join(stage.fingerprints, 'backup.json');
    await stage.run([config]);
    const sha256 = createHash('sha256').update('listen: 10.8.0.1').digest('hex');
    for (const content of [
      '{"backup":"anemone-back',
      'null',
      JSON.stringify({ backup: 'another', sha256, sealedFor: 'age1one' }),
    ]) {
      await writeFile(file, content);
      expect((await stage.run([config])).sets[0]?.outcome).toBe(done);
    }
    expect((await stage.run([config])).sets[0]?.outcome).toBe(unchanged);
  });

  it('keeps the backup when its fingerprint cannot be written', async () => {
    await writeFile(stage.fingerprints, 'in the way');
    expect((await stage.run([config])).outcome).toBe(done);
    await rm(stage.fingerprints);
    expect((await stage.run([config])).sets[0]).toMatchObject({ outcome: done, sequence: 2 });
  });
});

describe('a source that hangs', () => {
  /** Gives some bytes, and waits for a mount that does not answer until a test lets it. */
  function hangingSet(name: string, more: Partial<NightSet> = {}) {
    let answer = (): void => {};
    let begin = (): void => {};
    const mount = new Promise<void>((resolve) => {
      answer = resolve;
    });
    const started = new Promise<void>((resolve) => {
      begin = resolve;
    });
    let readings = 0;
    const set: NightSet = {
      name,
      sealed: false,
      ...more,
      async *read({ reading }) {
        readings += 1;
        yield Buffer.from('half');
        reading(`/mnt/nas/${name}`);
        begin();
        await mount;
        yield Buffer.from('rest');
      },
    };
    return { set, started, answer, readings: () => readings };
  }

  it('fails its set after ten minutes, names what it waits for, and the sets after it are saved', async () => {
    const { set, started, answer } = hangingSet('photos');
    const run = stage.run([set, config]);
    await started;
    await stage.clock.advance(10 * 60_000 - 1);
    expect(await Promise.race([run, setImmediate('still waiting')])).toBe('still waiting');
    const report = await stage.clock.runUntil(run);
    expect(report.sets.map(({ outcome }) => outcome)).toEqual([failed, done]);
    expect(report.sets[0]?.problem).toEqual({
      kind: 'timeout',
      message: 'set photos: waited 10 min for "/mnt/nas/photos"',
      hint: expect.stringContaining('mount'),
    });
    answer();
  });

  it('may be silent for longer where it has a timeout of its own, or shows that it is alive', async () => {
    const { set, started, answer } = hangingSet('db', { silence: 3_600_000 });
    const alive: NightSet = {
      ...config,
      async *read(context) {
        for (let folder = 0; folder < 9; folder += 1) {
          context.reading(`/srv/${folder}`);
          await stage.clock.advance(9 * 60_000);
        }
        yield* config.read(context);
      },
    };
    const run = stage.run([set, alive]);
    await started;
    await stage.clock.advance(3_600_000);
    answer();
    expect((await run).sets.map(({ outcome }) => outcome)).toEqual([done, done]);
  });

  it('does not keep a run from being interrupted', async () => {
    const { set, started, answer } = hangingSet('photos');
    const interrupt = new AbortController();
    const run = stage.run([set], { signal: interrupt.signal });
    await started;
    interrupt.abort();
    await stage.clock.advance(10_000);
    const report = await run;
    expect(report.sets[0]?.problem).toMatchObject({ kind: 'interrupted' });
    expect(await stage.drafts()).toEqual([]);
    answer();
  });

  it('is not read again while it still waits, and is when that is over', async () => {
    const { set, answer, readings } = hangingSet('photos');
    await stage.clock.runUntil(stage.run([set]));
    const second = await stage.run([set]);
    expect(second.sets[0]?.problem).toMatchObject({
      kind: 'timeout',
      message: 'set photos: still waits for "/mnt/nas/photos" since an earlier run',
    });
    expect(readings()).toBe(1);
    answer();
    await stage.clock.advance(0);
    expect((await stage.run([set])).outcome).toBe(done);
  });

  it('keeps all other sets from being read where there are two already, so that the node goes on', async () => {
    const hanging = ['photos', 'mails', 'films'].map((name) => hangingSet(name));
    const report = await stage.clock.runUntil(stage.run(hanging.map(({ set }) => set)));
    expect(report.sets.map(({ problem }) => problem?.message)).toEqual([
      'set photos: waited 10 min for "/mnt/nas/photos"',
      'set mails: waited 10 min for "/mnt/nas/mails"',
      expect.stringMatching(/^set films: not read.*set photos for "\/mnt\/nas\/photos", set mails for/),
    ]);
    for (const { answer } of hanging) answer();
  });
});

describe('one run at a time', () => {
  /** Has the peers take nothing until they are told that they may. */
  function slowPeers() {
    let letGo = (): void => {};
    const road = new Promise<void>((resolve) => {
      letGo = resolve;
    });
    const delivering = stage.peers.map(
      (peer) =>
        new Promise<void>((resolve) => {
          peer.instead = () => {
            resolve();
            return road;
          };
        }),
    );
    return { delivering: Promise.all(delivering), letGo };
  }

  it('ends a run that has read its sets when another one is asked for, says why, and begins that one then', async () => {
    const { delivering, letGo } = slowPeers();
    const first = stage.run([config]);
    await delivering;
    const second = stage.run([setOf('db', 'rows')], { trigger: 'request' });
    expect((await first).peers.map(({ problem }) => problem?.message)).toEqual(
      ['FR2', 'US1'].map((peer) => `the delivery to ${peer} was not over when another run was asked for`),
    );
    letGo();
    expect((await second).peers.map(({ outcome, owed }) => [outcome, owed])).toEqual([
      [done, 0],
      [done, 0],
    ]);
    expect(stage.peers.map(({ taken }) => taken.length)).toEqual([2, 2]);
    expect(stage.recorded).toEqual([await first, await second]);
  });

  it('does not wait for the proofs of the run that it meets', async () => {
    const proving = new Promise<void>((resolve) => {
      stage.slowProofs = resolve;
    });
    const first = stage.run([config]);
    await proving;
    const second = await stage.run([config], { trigger: 'request' });
    expect(await first).toMatchObject({ outcome: done, problems: [] });
    expect(stage.recorded).toEqual([await first, second]);
  });

  it('does not begin one that nobody waits for any more', async () => {
    const { delivering } = slowPeers();
    const first = stage.run([config]);
    await delivering;
    const interrupt = new AbortController();
    const second = stage.run([config], { trigger: 'request', signal: interrupt.signal });
    interrupt.abort();
    await expect(second).rejects.toMatchObject({ kind: 'interrupted' });
    expect(stage.recorded).toEqual([await first]);
  });

  it('may be listened to by any number of peers without a warning of Node.js, which warns of more than ten', async () => {
    const stopping = new AbortController().signal;
    const set = setOf('backup', 'bytes', () => {
      for (let peer = 0; peer < 20; peer += 1) stopping.addEventListener('abort', () => {});
    });
    expect(await warningsOf(() => stage.run([set], { signal: stopping }))).toEqual([]);
  });

  it('refuses a second run as locked, and takes the next one afterwards', async () => {
    let refused: unknown;
    await stage.run([
      setOf('backup', 'bytes', async () => {
        refused = await stage.run([config], { trigger: 'request' }).catch((thrown: unknown) => thrown);
      }),
    ]);
    expect(refused).toMatchObject({ kind: 'locked' });
    expect((await stage.run([setOf('backup', 'other')])).outcome).toBe(done);
  });

  it('leaves no draft when it is interrupted, and says so in its report', async () => {
    const interrupt = new AbortController();
    const report = await stage.run(
      [config, setOf('db', 'half', () => interrupt.abort(), 'rest'), setOf('late', 'bytes')],
      {
        signal: interrupt.signal,
      },
    );
    expect(report.outcome).toBe(partly);
    expect(report.sets.map((set) => set.problem?.kind)).toEqual([undefined, 'interrupted', 'interrupted']);
    expect(report.removed).toEqual([]);
    expect(await stage.local()).toEqual([firstName]);
    expect(stage.recorded).toEqual([report]);
  });
});

describe('the progress of a night', () => {
  const seals = (events: readonly RunEvent[]): number[] =>
    events.flatMap(({ event }) => (event?.$case === 'seal' ? [event.value.bytes] : []));

  it('is told five times a second at most, and the last word always', async () => {
    const chunks = Array.from({ length: 100 }, () => ['x', () => stage.clock.advance(10)] as const).flat();
    await stage.run([setOf('backup', ...chunks)]);
    expect(seals(stage.events)).toEqual([1, 21, 41, 61, 81, 100]);
  });

  it('tells which backup a set was sealed into, once it is kept', async () => {
    const sealed = (): string[] =>
      stage.events.flatMap(({ event }) =>
        event?.$case === 'seal' && event.value.backup !== '' ? [`${event.value.bytes} ${event.value.backup}`] : [],
      );
    await stage.run([setOf('backup', 'bytes')]);
    expect(sealed()).toEqual([`5 ${firstName}`]);
    await stage.run([setOf('backup', 'bytes')]);
    expect(sealed()).toHaveLength(1);
  });

  it('tells each delivery from its first byte to its last', async () => {
    await stage.run([config]);
    const told = stage.events.flatMap(({ event }) =>
      event?.$case === 'delivery' ? [`${event.value.peer} ${event.value.bytes}/${event.value.total}`] : [],
    );
    expect(told.sort()).toEqual(['FR2 0/38', 'FR2 38/38', 'US1 0/38', 'US1 38/38']);
  });
});
