import { describe, expect, it } from 'vitest';
import { followRun } from '../../../src/client/commands/follow-run.js';
import { Outcome, type RunEvent, type RunReport } from '../../../src/mesh/generated/anemone/node/v1/node.js';
import { Failure } from '../../../src/mesh/terms/failure.js';
import { commandTrial } from '../../support/command.js';
import { FakeClock } from '../../support/fake-clock.js';

const backup = 'anemone-backup-FR1-20261123-010000.enc';

function report(changes: Partial<RunReport> = {}): RunEvent {
  const startedAtMs = Date.UTC(2026, 10, 23, 1, 0, 0);
  return {
    event: {
      $case: 'report',
      value: {
        trigger: 'request',
        startedAtMs,
        finishedAtMs: startedAtMs + 80_000,
        outcome: Outcome.OUTCOME_DONE,
        sets: [],
        peers: [],
        removed: [],
        problems: [],
        audit: undefined,
        ...changes,
      },
    },
  };
}

const sealInto = (name: string): RunEvent => ({
  event: { $case: 'seal', value: { set: 'backup', bytes: 2 ** 20, backup: name } },
});
const seal = sealInto('');
const sealed = sealInto(backup);
const delivery: RunEvent = { event: { $case: 'delivery', value: { peer: 'FR2', backup, bytes: 5, total: 10 } } };

/** Of an older backup that the peer lacks. */
const owed: RunEvent = {
  event: {
    $case: 'delivery',
    value: { peer: 'FR2', backup: 'anemone-backup-FR1-20261122-010000.enc', bytes: 5, total: 10 },
  },
};

async function* stream(events: readonly RunEvent[]): AsyncGenerator<RunEvent> {
  yield* events;
}

async function follow(events: readonly RunEvent[], json = false) {
  const { context, said } = commandTrial({ cwd: '', json, clock: new FakeClock() });
  return { code: await followRun(context, stream(events)), ...said };
}

describe('a run that is followed', () => {
  it.each([
    [Outcome.OUTCOME_DONE, 0],
    [Outcome.OUTCOME_UNCHANGED, 0],
    [Outcome.OUTCOME_PARTLY, 3],
    [Outcome.OUTCOME_FAILED, 1],
    [Outcome.OUTCOME_UNSPECIFIED, 1],
    [Outcome.UNRECOGNIZED, 1],
  ])('of outcome %i ends with exit code %i', async (outcome, code) => {
    expect((await follow([report({ outcome })])).code).toBe(code);
  });

  it('is a failure when it ends without a report, whatever it said before', async () => {
    await expect(follow([seal, delivery])).rejects.toThrow(Failure);
    await expect(follow([])).rejects.toThrow('without a report');
  });

  it.each([
    ['while it seals', [seal], 'had sealed, and'],
    ['while it delivers', [seal, sealed, owed, delivery], `had sealed (${backup}), and`],
  ])('that is interrupted %s says that it was ended, and what becomes of its backups', async (_, events, kept) => {
    async function* interrupted() {
      yield* events;
      throw new Failure('interrupted', 'the node of this server: interrupted');
    }
    const { screen } = commandTrial({ cwd: '/' }).context;
    await expect(followRun({ screen }, interrupted())).rejects.toMatchObject({
      kind: 'interrupted',
      message: 'the run was interrupted, and the node ends it',
      hint: `The node keeps what it ${kept} delivers that by itself; \`anemone-peer status\` tells what is owed.`,
    });
  });

  it('tells a person when a set is sealed, and in the end a line for each set and peer', async () => {
    const { stdout, stderr } = await follow([
      seal,
      sealed,
      owed,
      delivery,
      report({
        outcome: Outcome.OUTCOME_PARTLY,
        sets: [
          {
            set: 'backup',
            outcome: Outcome.OUTCOME_PARTLY,
            backup,
            size: 10,
            sequence: 4,
            warnings: ['config/a changed while it was read'],
            moreWarnings: 4,
            problem: undefined,
          },
        ],
        peers: [
          { peer: 'FR2', outcome: Outcome.OUTCOME_DONE, delivered: [backup], owed: 0, bytes: 10, problem: undefined },
          {
            peer: 'US1',
            outcome: Outcome.OUTCOME_FAILED,
            delivered: [],
            owed: 2,
            bytes: 0,
            problem: { kind: 'unreachable', message: 'US1 (10.8.0.3:7443): no connection', hint: 'Start its node.' },
          },
        ],
        problems: [{ kind: 'damaged', message: `FR2 has lost ${backup}`, hint: 'Look at the disk of FR2.' }],
      }),
    ]);
    expect(stderr).toBe(`set backup: sealed 1.00 MiB into ${backup}\n`);
    expect(stdout.split('\n')).toEqual([
      `set backup\tpartly\t${backup}, 10 B, 5 warnings`,
      'FR2\tdone\ttook 1, 10 B sent',
      'US1\tfailed\ttook 0, 2 still owed, US1 (10.8.0.3:7443): no connection',
      'set backup: config/a changed while it was read',
      'set backup: and 4 more, which the log of the node names',
      `FR2 has lost ${backup}`,
      'Start its node.',
      'Look at the disk of FR2.',
      'Done in part. It took 1 min 20 s.',
      '',
    ]);
  });

  it('is one JSON object a line for a program, the report last', async () => {
    const { stdout, stderr } = await follow([seal, delivery, report()], true);
    const lines = stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(lines.map((line) => line.event)).toEqual(['seal', 'delivery', 'report']);
    expect(lines[1]).toEqual({ event: 'delivery', peer: 'FR2', backup, bytes: 5, total: 10 });
    expect(lines[2]).toMatchObject({ outcome: 'done', started_at: '2026-11-23T01:00:00.000Z', sets: [], peers: [] });
    expect(stderr).toBe('');
  });
});
