import { describe, expect, it } from 'vitest';
import { faultsOf } from '../../../src/client/render/faults.js';
import { makeLook } from '../../../src/client/render/look.js';
import {
  type MeshStatus,
  type PeerView,
  statusDocument,
  statusHints,
  statusText,
} from '../../../src/client/render/status.js';
import type { Config, PeerConfig } from '../../../src/mesh/config/config.js';
import { parseConfig } from '../../../src/mesh/config/load.js';
import { type GetStatusResponse, Outcome, RunReport } from '../../../src/mesh/generated/anemone/node/v1/node.js';
import type { GetNodeResponse } from '../../../src/mesh/generated/anemone/peer/v1/peer.js';
import { deriveKeys, generateRecoveryKey } from '../../../src/mesh/identity/recovery-key.js';
import { makeServerIdentity } from '../../../src/mesh/identity/server-identity.js';
import { Failure } from '../../../src/mesh/terms/failure.js';
import { parseHostname } from '../../../src/mesh/terms/hostname.js';

const now = Date.UTC(2026, 10, 23, 12, 0, 0);
const hour = 3_600_000;
const keys = deriveKeys(generateRecoveryKey());
const self = makeServerIdentity(keys, 'FR1', 1_700_000_000_000);
/** Of the same server, rebuilt. */
const newer = makeServerIdentity(keys, 'FR1', self.certificate.epoch + 1).certificate;
const configOf = (more = ''): Config =>
  parseConfig(
    '/srv/config.yaml',
    `server: { name: FR1, listen: 10.8.0.1 }
peers: [{ name: FR2, vpn_ip: 10.8.0.2, identity: "${self.identity}" }]
backup: { encryption: { recipients: [age17y46w907m7fqf6ek78zsa29z87e8pkwe6zlejkluja9nztla3v0scrv8jk] }${more} }`,
  ).config;

const node: GetStatusResponse = {
  hostname: 'FR1',
  version: '0.1.0',
  startedAtMs: now - 3 * hour,
  peers: [],
  lastRun: undefined,
  nextRunAtMs: now + 14 * hour,
  running: false,
  free: 5 * 2 ** 30,
  findings: ['FR9/notes.txt is not a backup'],
  uploadRate: 0,
  uploadUntil: '',
  sets: [],
  historyProblem: undefined,
  diskTroubles: [],
  needsRestart: [],
  epochMs: self.certificate.epoch,
};

const runOf = (outcome: Outcome) =>
  RunReport.fromPartial({ outcome, startedAtMs: now - hour, finishedAtMs: now - hour });
const longAgo = RunReport.fromPartial({ outcome: Outcome.OUTCOME_DONE, startedAtMs: now - 48 * hour });
const failing = {
  set: 'db',
  triedAtMs: now - 10 * hour,
  savedAtMs: 0,
  problem: { kind: 'failed', message: 'pg_dump ended with 1', hint: '' },
  warnings: 0,
  firstWarning: '',
};

function peer(
  name: string,
  parts: Partial<PeerView> = {},
  changes: Partial<GetNodeResponse> = {},
  clockAhead = 0,
): PeerView {
  const config: PeerConfig = {
    name: parseHostname(name),
    address: { host: '10.8.0.2', port: 7443 },
    identity: self.identity,
    enabled: true,
    quota: 0,
    reads: [],
  };
  const node = {
    hostname: name,
    version: '0.1.0',
    timeMs: now,
    used: 2 ** 30,
    quota: 4 * 2 ** 30,
    free: 2 ** 40,
    newestEpochMs: self.certificate.epoch,
    newestCertificate: self.certificate.der,
    newestBackups: [],
    damaged: [],
    minimumDays: undefined,
    ...changes,
  };
  return { config, answer: { node, clockAhead, clockDoubt: 20 }, ...parts };
}

/** Of a server without sets, unless told otherwise. */
const statusOf = (changes: Partial<MeshStatus>): MeshStatus => ({
  config: configOf(),
  self,
  node,
  peers: [],
  configuredAt: 0,
  overdue: now - 34 * hour,
  now,
  ...changes,
});
const text = (status: Partial<MeshStatus>): string[] =>
  statusText(statusOf(status), makeLook(false, false)).split('\n');

describe('the status', () => {
  it('tells how the own node does, when it ran and when it runs next', () => {
    expect(text({})).toEqual([
      'server\tFR1 (10.8.0.1:7443)',
      'node\trunning for 3 h, version 0.1.0',
      'disk\t5.00 GiB free',
      'last run\tnone yet',
      'next run\tin 14 h, 2026-11-24 02:00:00 UTC',
      'recovery\tnever proven: try `anemone-peer restore --drill`',
      'finding\tFR9/notes.txt is not a backup',
      'No peers yet.',
    ]);
  });

  it('shows what is wrong with the disk before what lies on it', () => {
    const full = { ...node, diskTroubles: ['/data: nothing can be written'] };
    expect(text({ node: full }).filter((line) => line.startsWith('finding'))).toEqual([
      'finding\t/data: nothing can be written',
      'finding\tFR9/notes.txt is not a backup',
    ]);
    expect(statusDocument(statusOf({ node: full }))).toMatchObject({
      server: { findings: ['/data: nothing can be written', 'FR9/notes.txt is not a backup'] },
    });
  });

  it.each([
    [524_288, '23:00', 'upload\tat most 512 KiB a second until 23:00'],
    [0, '08:00', 'upload\tno limit until 08:00'],
    [5_000_000, '', 'upload\tat most 4.77 MiB a second'],
  ])('tells what may be sent now, where that is limited: %i until %s', (uploadRate, uploadUntil, line) => {
    const limited = { ...node, uploadRate, uploadUntil };
    expect(text({ node: limited })).toContain(line);
    expect(statusDocument(statusOf({ node: limited }))).toMatchObject({
      server: { upload: { rate: uploadRate, until: uploadUntil === '' ? null : uploadUntil } },
    });
  });

  it('shows the peers also when the own node is not running', () => {
    const lines = text({ node: { failure: new Failure('unreachable', 'not running') }, peers: [peer('FR2')] });
    expect(lines).toContain('node\tnot running');
    expect(lines).toContain('FR2\tok\t?\t1.00 GiB of 4.00 GiB\t?\t');
  });

  it('does not say of a node that is there and gives no answer that it is not running', () => {
    const lines = text({ node: { failure: new Failure('timeout', 'it did not answer for 10 s') } });
    expect(lines).toContain('node\tno answer');
  });

  it('tells what is owed to a peer that does not answer, why, and when it is tried again', () => {
    const message = 'FR2 (10.8.0.2:7443): no connection';
    const status = {
      name: 'FR2',
      owed: ['a', 'b'],
      used: 0,
      quota: 0,
      lastSeenAtMs: 0,
      problem: { kind: 'unreachable', message, hint: '' },
      nextTryAtMs: now + 60_000,
      provenAtMs: 0,
      night: 0,
      problemMayPass: false,
    };
    const silent = peer('FR2', { answer: { failure: new Failure('unreachable', message) }, status });
    expect(text({ peers: [silent] }).at(-1)).toBe(`FR2\tno answer\t2\t?\t0 B\t${message}; next try in 1 min`);
  });

  it('says once that another server answers, also when the own node has found no more than that', () => {
    const found = new Failure('untrusted', 'FR2 (10.8.0.2:7443): another server answers there');
    const asked = new Failure('untrusted', `${found.message} (identity X, expected Y)`);
    const status = {
      name: 'FR2',
      owed: ['a'],
      used: 0,
      quota: 0,
      lastSeenAtMs: 0,
      problem: { kind: found.kind, message: found.message, hint: '' },
      nextTryAtMs: 0,
      provenAtMs: 0,
      night: 0,
      problemMayPass: false,
    };
    const silent = peer('FR2', { answer: { failure: asked }, status });
    expect(text({ peers: [silent] }).at(-1)).toBe(`FR2\tno answer\t1\t?\t0 B\t${asked.message}`);
  });

  it('knows what to do about what was found in a run, each thing once', () => {
    const status = (name: string, hint: string) => ({
      name,
      owed: ['a'],
      used: 0,
      quota: 0,
      lastSeenAtMs: 0,
      problem: { kind: 'no-space', message: `${name}: full`, hint },
      nextTryAtMs: 0,
      provenAtMs: 0,
      night: 0,
      problemMayPass: false,
    });
    const peers = [
      peer('FR2', { status: status('FR2', 'Make room.') }),
      peer('US1', { status: status('US1', 'Make room.') }),
      peer('DE1', { status: status('DE1', '') }),
    ];
    expect(statusHints(statusOf({ peers }))).toEqual(['Make room.']);
  });

  it('says once, with the names of all peers that it is for, what to do about several', () => {
    const hintFor = (name: string) => `On ${name}, run the command that is shown here.`;
    const silent = (name: string, hint = hintFor(name)) =>
      peer(name, { answer: { failure: new Failure('untrusted', `${name}: it does not know this server`, { hint }) } });
    const peers = [silent('S1'), silent('S11'), silent('S2', 'Look at S1.'), silent('S9')];
    expect(statusHints(statusOf({ peers }))).toEqual([hintFor('S1, S11 and S9'), 'Look at S1.']);
    expect(statusHints(statusOf({ peers: [silent('S1'), silent('S2')] }))).toEqual([hintFor('S1 and S2')]);
    const full = ['S1', 'S2'].map((name, at) =>
      silent(name, `${name} (10.8.0.${at}:7443) says: Make room for ${name}.`),
    );
    expect(statusHints(statusOf({ peers: full }))).toEqual(['S1 and S2 say: Make room for S1 and S2.']);
  });

  it('warns of a clock that is off, of another name, and of a newer key of this very server', () => {
    const newestEpochMs = newer.epoch;
    const odd = peer('FR2', {}, { hostname: 'FR7', newestEpochMs, newestCertificate: newer.der }, hour);
    const document = statusDocument(statusOf({ peers: [odd] })) as { peers: unknown[] };
    expect(text({ peers: [odd] }).map((line) => line.split('\t').slice(0, 2))).toContainEqual(['FR2', 'not served']);
    expect(document.peers).toMatchObject([
      {
        ok: false,
        error: 'knows a newer node key of this server: this one is superseded',
        clock_offset_ms: hour,
        remarks: [
          'calls itself FR7',
          'knows a newer node key of this server: this one is superseded',
          'its clock is 1 h ahead',
        ],
      },
    ]);
  });

  it.each([
    ['a failed last run', { lastRun: runOf(Outcome.OUTCOME_FAILED) }, 'the last run failed 1 h ago'],
    [
      'a set that was not saved, though the last run of others was done',
      { lastRun: runOf(Outcome.OUTCOME_DONE), sets: [failing] },
      'the set db was not saved 10 h ago: pg_dump ended with 1',
    ],
    ['a disk that takes nothing', { diskTroubles: ['/data: nothing can be written'] }, '/data: nothing can be written'],
    [
      'a history that cannot be read',
      { historyProblem: { kind: 'failed', message: 'the history of runs cannot be read', hint: '' } },
      'the history of runs cannot be read',
    ],
    ['a run that is too long ago', { lastRun: longAgo }, 'the last run was 2 d ago, and two nights were due since'],
  ])(
    'calls this server not ok for %s, says so before all other findings, and who knows what to do',
    (_why, part, says) => {
      const troubled = { ...node, ...part };
      const [first] = text({ node: troubled }).filter((line) => line.startsWith('finding'));
      expect(first).toBe(`finding\t${says}`);
      expect(statusDocument(statusOf({ node: troubled }))).toMatchObject({
        server: { ok: false, findings: [says, 'FR9/notes.txt is not a backup'] },
      });
      expect(statusHints(statusOf({ node: troubled }))).toEqual(['`anemone-peer doctor` tells what to do.']);
    },
  );

  it('calls this server ok while a run is under way, however long ago the last one was', () => {
    const working = { ...node, lastRun: longAgo, running: true, sets: [] };
    expect(JSON.stringify(statusDocument(statusOf({ node: working })))).not.toContain('the last run was');
  });

  it('calls this server ok that runs and saves its sets, whatever else lies in its vault, and tells how each set stands', () => {
    const saved = { ...failing, savedAtMs: failing.triedAtMs, problem: undefined };
    const well = { ...node, lastRun: runOf(Outcome.OUTCOME_DONE), sets: [saved] };
    const tried_at = new Date(failing.triedAtMs).toISOString();
    expect(statusDocument(statusOf({ node: well }))).toMatchObject({
      server: { ok: true },
      sets: [{ set: 'db', tried_at, saved_at: tried_at, problem: null, warnings: 0, first_warning: null }],
    });
    expect(statusHints(statusOf({ node: well }))).toEqual([]);
    const stopped = { failure: new Failure('unreachable', 'not running') };
    expect(statusDocument(statusOf({ node: stopped }))).toMatchObject({
      server: { ok: false },
      sets: [],
    });
  });

  it('calls this server not ok when a set was never saved, once the first nights after it was set up have passed', () => {
    const config = configOf(', sets: { backup: { paths: [x] }, db: { paths: [y] } }');
    const db = { ...failing, savedAtMs: failing.triedAtMs, problem: undefined };
    const faults = (changes: Partial<MeshStatus>) => faultsOf(node, statusOf({ config, ...changes }));
    const never = (set: string) => `no run is known that saved the set ${set}`;
    expect(faults({})).toEqual([never('backup'), never('db')]);
    expect(faultsOf({ ...node, sets: [db] }, statusOf({ config }))).toEqual([never('backup')]);
    expect(faults({ self: makeServerIdentity(keys, 'FR1', now - 30 * hour) })).toEqual([]);
  });

  it('waits as long for a set that the configuration has since its last change, unless no run is known at all', () => {
    const config = configOf(', sets: { backup: { paths: [x] } }');
    const faults = (lastRun: GetStatusResponse['lastRun'], configuredAt: number) =>
      faultsOf({ ...node, lastRun }, statusOf({ config, configuredAt }));
    const done = runOf(Outcome.OUTCOME_DONE);
    expect(faults(done, now - 30 * hour)).toEqual([]);
    expect(faults(done, now - 35 * hour)).toEqual(['no run is known that saved the set backup']);
    expect(faults(undefined, now - 30 * hour)).toEqual(['no run is known that saved the set backup']);
  });

  it('says nothing of sets that were never saved where past runs are not known', () => {
    const historyProblem = { kind: 'failed', message: 'the history of runs cannot be read', hint: '' };
    const config = configOf(', sets: { backup: { paths: [x] } }');
    expect(faultsOf({ ...node, historyProblem }, statusOf({ config }))).toEqual([historyProblem.message]);
  });

  it('calls a server not ok that saves for no peer', () => {
    const config = configOf(', sets: { db: { paths: [y] } }');
    const alone = { ...config, peers: config.peers.map((each) => ({ ...each, enabled: false })) };
    const saved = { ...failing, savedAtMs: failing.triedAtMs, problem: undefined };
    const lonely = 'no peer is configured and enabled, so what this server saves is lost with it';
    expect(faultsOf({ ...node, sets: [saved] }, statusOf({ config }))).toEqual([]);
    expect(faultsOf({ ...node, sets: [saved] }, statusOf({ config: alone }))).toEqual([lonely]);
    expect(faultsOf(node, statusOf({ config: { ...configOf(), peers: [] } }))).toEqual([]);
  });

  it('calls no peer ok that does not get what it is owed, unless that may pass, as where it is busy', () => {
    const refusal = { kind: 'untrusted', message: 'this node key of FR1 is superseded', hint: '' };
    const status = {
      name: 'FR2',
      owed: ['a'],
      used: 0,
      quota: 0,
      lastSeenAtMs: 0,
      nextTryAtMs: 0,
      provenAtMs: 0,
      night: 0,
      problemMayPass: false,
    };
    const refusing = peer('FR2', { status: { ...status, problem: refusal } });
    const served = peer('US1', { status: { ...status, owed: [], problem: refusal } });
    const full = peer('DE1', { status: { ...status, problem: { ...refusal, kind: 'no-space' } } });
    const busy = peer('DE2', { status: { ...status, problem: { ...refusal, kind: 'failed' }, problemMayPass: true } });
    const unread = peer('DE3', { status: { ...status, problem: { ...refusal, kind: 'damaged' } } });
    const { peers } = statusDocument(statusOf({ peers: [refusing, served, full, busy, unread] })) as {
      peers: unknown[];
    };
    const refused = { ok: false, error: refusal.message };
    expect(peers).toMatchObject([refused, { ok: true }, refused, { ok: true }, refused]);
    expect(text({ peers: [refusing] }).at(-1)).toMatch(/^FR2\tnot served\t1\t/);
    expect(text({ peers: [full] }).at(-1)).toMatch(/^DE1\tnot served\t1\t/);
    expect(text({ peers: [unread] }).at(-1)).toMatch(/^DE3\tnot served\t1\t/);
  });

  it('does not ask a disabled peer, and says so', () => {
    expect(text({ peers: [peer('FR2', { answer: undefined })] }).at(-1)).toBe('FR2\tdisabled\t?\t?\t?\t');
  });

  it('shows no control character that a peer put into its name', () => {
    const hostile = peer('FR2', {}, { hostname: '\x1b[2J' });
    expect(text({ peers: [hostile] }).join('')).not.toContain('\x1b');
    expect(JSON.stringify(statusDocument(statusOf({ peers: [hostile] })))).toContain('\\\\x1b');
  });
});
