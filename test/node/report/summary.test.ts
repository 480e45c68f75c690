import { describe, expect, it } from 'vitest';
import {
  Audit,
  Outcome,
  PeerAudit,
  PeerReport,
  type Problem,
  RunReport,
  SetReport,
} from '../../../src/mesh/generated/anemone/node/v1/node.js';
import { outcomeOf, summaryOf } from '../../../src/node/report/summary.js';

const { OUTCOME_DONE: done, OUTCOME_PARTLY: partly, OUTCOME_FAILED: failed, OUTCOME_UNCHANGED: unchanged } = Outcome;

const problem: Problem = { kind: 'failed', message: 'the sweep failed', hint: '' };
const set = (outcome: Outcome): SetReport => ({ ...SetReport.fromJSON({ set: 'backup' }), outcome });
const peer = (outcome: Outcome): PeerReport => ({ ...PeerReport.fromJSON({ peer: 'FR2' }), outcome });

interface Row {
  readonly what: string;
  readonly sets: readonly Outcome[];
  readonly peers: readonly Outcome[];
  readonly problems?: Problem[];
  readonly outcome: Outcome;
}

const table: readonly Row[] = [
  { what: 'everything everywhere is done', sets: [done], peers: [done, done], outcome: done },
  { what: 'nothing changed, every peer has it', sets: [unchanged], peers: [unchanged, unchanged], outcome: unchanged },
  { what: 'one set changed, one did not', sets: [done, unchanged], peers: [done], outcome: done },
  { what: 'unchanged, and an older backup was delivered', sets: [unchanged], peers: [done], outcome: done },
  { what: 'one of two peers took nothing', sets: [done], peers: [done, failed], outcome: partly },
  { what: 'no peer took anything, the local copy is there', sets: [done], peers: [failed, failed], outcome: partly },
  { what: 'a peer took a part', sets: [done], peers: [partly], outcome: partly },
  { what: 'a file was left out', sets: [partly], peers: [done], outcome: partly },
  { what: 'one of two sets failed', sets: [done, failed], peers: [done], outcome: partly },
  { what: 'every set failed', sets: [failed, failed], peers: [unchanged], outcome: failed },
  { what: 'every set failed, an older backup was delivered', sets: [failed], peers: [done], outcome: failed },
  {
    what: 'a night of a server that only keeps the backups of others',
    sets: [],
    peers: [unchanged],
    outcome: unchanged,
  },
  {
    what: 'such a night, and something did not work',
    sets: [],
    peers: [unchanged],
    problems: [problem],
    outcome: partly,
  },
  { what: 'something else did not work', sets: [done], peers: [done], problems: [problem], outcome: partly },
  { what: 'unchanged, and something did not work', sets: [unchanged], peers: [], problems: [problem], outcome: partly },
];

describe('the outcome of a run', () => {
  it('is not bettered by the kit, which travels with every run', () => {
    const kit = { ...set(done), set: 'kit' };
    expect(outcomeOf({ sets: [set(failed), kit], peers: [peer(done)], problems: [] })).toBe(failed);
    expect(outcomeOf({ sets: [set(done), { ...kit, outcome: failed }], peers: [peer(done)], problems: [] })).toBe(
      partly,
    );
  });

  it.each(table)('$what', ({ sets, peers, problems = [], outcome }) => {
    expect(Outcome[outcomeOf({ sets: sets.map(set), peers: peers.map(peer), problems })]).toBe(Outcome[outcome]);
  });

  it('mistake 3 of the predecessor: success when every peer had failed', () => {
    expect(outcomeOf({ sets: [set(done)], peers: [peer(failed)], problems: [] })).not.toBe(done);
  });
});

describe('the sentence about a run', () => {
  const base = RunReport.fromJSON({});

  it('tells what was saved, and who took it', () => {
    const report: RunReport = {
      ...base,
      outcome: partly,
      sets: [
        { ...set(done), backup: 'anemone-backup-FR1-20261123-010000.enc' },
        { ...set(failed), set: 'db', problem: { kind: 'failed', message: 'pg_dump ended with code 1', hint: '' } },
      ],
      peers: [
        { ...peer(done), delivered: ['anemone-backup-FR1-20261123-010000.enc'] },
        { ...peer(failed), peer: 'US1', owed: 2, problem: { kind: 'unreachable', message: 'no answer', hint: '' } },
      ],
      problems: [problem],
    };
    expect(summaryOf(report)).toBe(
      'The backup is done in part: the sweep failed; set backup is in anemone-backup-FR1-20261123-010000.enc; ' +
        'set db: pg_dump ended with code 1; FR2 took 1 backup; US1 took nothing, 2 backups still owed (no answer).',
    );
  });

  it('tells in one clause of all peers that did the same, and names them where they are few', () => {
    const names = Array.from({ length: 23 }, (_, at) => `S${at + 1}`);
    const audits = names.map((name, at) =>
      PeerAudit.fromJSON({ peer: name, proven: ['a'], gone: at < 3 ? ['b'] : [] }),
    );
    const report: RunReport = {
      ...base,
      outcome: done,
      peers: names.map((name, at) =>
        at < 2 ? { ...peer(unchanged), peer: name } : { ...peer(done), peer: name, delivered: ['a', 'b', 'c'] },
      ),
      audit: { ...Audit.fromJSON({}), peers: audits },
    };
    expect(summaryOf(report)).toBe(
      'The backup is done: S1, S2 had everything; 21 peers took 3 backups; 23 peers proved 1 backup; ' +
        'S1, S2, S3 no longer kept 1 older backup.',
    );
  });

  it('is short where nothing happened', () => {
    const report = { ...base, outcome: unchanged, sets: [set(unchanged)], peers: [peer(unchanged)] };
    expect(summaryOf(report)).toBe(
      'Nothing changed, and every peer has the last backup: set backup is unchanged; FR2 had everything.',
    );
  });

  it('says of a peer that gave an excuse in place of a proof that it had everything by its receipts only', () => {
    const audit = RunReport.fromPartial({ audit: { peers: [{ peer: 'FR2', problem }] } }).audit;
    const report = { ...base, outcome: unchanged, sets: [], peers: [peer(unchanged)], audit };
    expect(summaryOf(report)).toBe(
      'Nothing changed, and by their receipts every peer has the last backup: FR2 had everything by its receipts; ' +
        'FR2 did not prove everything: the sweep failed.',
    );
  });
});
