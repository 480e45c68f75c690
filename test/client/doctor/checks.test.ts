import { describe, expect, it } from 'vitest';
import type { DoctorFacts, KeyFile, PeerFacts } from '../../../src/client/doctor/facts.js';
import type { Check } from '../../../src/client/doctor/finding.js';
import {
  checkClock,
  checkConfiguration,
  checkDisk,
  checkFiles,
  checkKeys,
  checkNodeVersion,
  checkRestores,
  checkTcp,
} from '../../../src/client/doctor/machine-checks.js';
import { checkBackups, checkKit, checkNode, checkRuns } from '../../../src/client/doctor/mesh-checks.js';
import { checkPeers } from '../../../src/client/doctor/peer-checks.js';
import { parseConfig } from '../../../src/mesh/config/load.js';
import {
  GetStatusResponse,
  Outcome,
  PeerStatus,
  type Problem,
  RunReport,
  type SetStatus,
} from '../../../src/mesh/generated/anemone/node/v1/node.js';
import { GetNodeResponse } from '../../../src/mesh/generated/anemone/peer/v1/peer.js';
import { deriveKeys, generateRecoveryKey } from '../../../src/mesh/identity/recovery-key.js';
import { makeServerIdentity } from '../../../src/mesh/identity/server-identity.js';
import { factsOf } from '../../../src/mesh/kit/kit.js';
import { Failure } from '../../../src/mesh/terms/failure.js';
import { parseHostname } from '../../../src/mesh/terms/hostname.js';
import { throwawayServer } from '../../support/identities.js';

const now = Date.UTC(2026, 10, 23, 12);
const hour = 3_600_000;
const keys = deriveKeys(generateRecoveryKey());
const self = makeServerIdentity(keys, 'FR1', 1_700_000_000_000);
/** Of the same server, rebuilt. */
const newer = makeServerIdentity(keys, 'FR1', self.certificate.epoch + 1).certificate;
const { config } = parseConfig(
  '/srv/config.yaml',
  `server: { name: FR1, listen: 10.8.0.1 }
peers: [{ name: FR2, vpn_ip: 10.8.0.2, identity: "${throwawayServer().identity}" }]
backup:
  sets: { backup: { paths: [x] } }
  encryption: { recipients: [age17y46w907m7fqf6ek78zsa29z87e8pkwe6zlejkluja9nztla3v0scrv8jk] }
limits: { minimum_free: 1GB }`,
);

function peer(name: string, changes: Partial<GetNodeResponse> = {}, clockAhead = 0): PeerFacts {
  const node = GetNodeResponse.fromPartial({ hostname: name, version: '0.1.0', quota: 1e10, free: 1e11, ...changes });
  return { name, answer: { node, clockAhead, clockDoubt: 20 } };
}

const silent = (name: string, kind: 'unreachable' | 'untrusted' = 'unreachable'): PeerFacts => ({
  name,
  answer: { failure: new Failure(kind, `${name} does not answer`) },
});

const status = (changes: Partial<GetStatusResponse> = {}) => {
  const lastRun = RunReport.fromPartial({ outcome: Outcome.OUTCOME_DONE, startedAtMs: now - 10 * hour });
  const sets = [{ set: 'backup', triedAtMs: now - 10 * hour, savedAtMs: now - 10 * hour }];
  return GetStatusResponse.fromPartial({
    version: '0.1.0',
    epochMs: self.certificate.epoch,
    lastRun,
    sets,
    ...changes,
  });
};

const expected = factsOf(config, self.identity);
const vpnFile = { path: '/etc/wireguard/wg0.conf', size: 300 };
const kit: DoctorFacts['kit'] = {
  path: '/srv/anemone-kit-FR1.txt',
  found: { ...expected, vpn: { kind: 'sealed', files: [vpnFile], armor: '' } },
  writtenAt: now - hour,
  expected,
  vpn: [{ path: vpnFile.path, changedAt: now - 2 * hour }],
  missing: [],
};

const spans = { size: 0, unpacked: 0, entries: 0, finding: 0, fetching: 0, opening: 0 };

const well: DoctorFacts = {
  now,
  version: '0.1.0',
  nodeVersion: '24.4.1',
  config,
  hints: [],
  keys: {
    isOfAnother: false,
    certificate: self.certificate,
    seenKeys: null,
    user: 998,
    files: [{ path: '/data/.state', mode: 0o700, owner: 998, holds: 'state' }],
  },
  foreign: { uid: 998, gid: 998, paths: [], places: [] },
  ownRecipient: null,
  overdue: now - 34 * hour,
  free: 1e11,
  node: status(),
  peers: [peer('FR2'), peer('US1')],
  listed: ['FR1', 'FR2', 'US1'],
  held: new Set(['the newest', 'x.enc']),
  newest: [{ set: 'backup', name: 'the newest', size: 1e9, createdAt: now - 10 * hour, holders: ['FR2', 'US1'] }],
  kit,
  tcp: { congestion: 'cubic', hasBbr: true, sent: 1e6, resent: 100 },
  parts: [],
  staging: [],
  drill: { at: now - 24 * hour, backup: 'the newest', set: 'backup', ...spans, peers: {} },
};

const all = {
  checkBackups,
  checkClock,
  checkConfiguration,
  checkDisk,
  checkFiles,
  checkKeys,
  checkKit,
  checkNode,
  checkNodeVersion,
  checkPeers,
  checkRestores,
  checkRuns,
  checkTcp,
};

it.each(Object.entries(all))('%s finds nothing where all is well', (_name, check) => {
  expect(check(well)).toEqual([]);
});

/** Null where the check has to say that it could not look. */
type Wanted = [severity: string, problem: string, mend: string][] | null;
type Case = [string, Check, Partial<DoctorFacts>, Wanted];
const reads: KeyFile = { path: '/data/.state/node.key', mode: 0o640, owner: 998, holds: 'node key' };
const restored = { ...well.keys, certificate: newer };
const password: KeyFile = { path: '/etc/anemone/key', mode: 0o640, owner: 0, holds: 'password' };
const keysOf = (...files: DoctorFacts['keys']['files']) => ({ ...well.keys, files });
const nightOf = (size: number) => [{ ...well.newest[0], size }] as DoctorFacts['newest'];
const noRoom = {
  kind: 'no-space',
  message: 'FR2: the disk has 930 MiB too little free',
  hint: 'FR2 says: Free some disk.',
};
const refusedBy = (name: string, problem: Problem): PeerStatus =>
  PeerStatus.fromPartial({ name, owed: [well.newest[0]?.name ?? ''], problem });
const storing = (name: string, stored: Partial<PeerStatus>) =>
  status({ peers: [PeerStatus.fromPartial({ name, ...stored })] });
const heldBy = (...holders: string[]) => [{ ...well.newest[0], holders }] as DoctorFacts['newest'];
const failedRun = RunReport.fromPartial({ outcome: Outcome.OUTCOME_FAILED, startedAtMs: now - hour });
const many = ['A', 'B', 'C', 'D', 'E', 'US1'];
const delivering = (...names: string[]) =>
  status({ running: true, peers: names.map((name) => PeerStatus.fromPartial({ name, owed: ['the newest'] })) });
const doneRun = RunReport.fromPartial({ outcome: Outcome.OUTCOME_PARTLY, startedAtMs: now - hour });
const problem = { kind: 'failed', message: 'pg_dump ended with 1', hint: 'Start PostgreSQL.' };
const lonely = { kind: 'config', message: 'no peer is configured and enabled', hint: 'Add a peer.' };
const withSet = (changes: Partial<SetStatus>, lastRun = doneRun) => {
  const { sets } = status();
  const tried = { set: 'database', triedAtMs: now - 10 * hour, savedAtMs: now - 10 * hour, ...changes };
  return GetStatusResponse.fromPartial({ ...status({ lastRun }), sets: [...sets, tried] });
};
const oldRun = RunReport.fromPartial({ outcome: Outcome.OUTCOME_DONE, startedAtMs: now - 35 * hour });
const readAgain = (days: number) =>
  RunReport.fromPartial({ ...doneRun, audit: { scrub: { oldestCheckMs: now - days * 24 * hour } } });
const keeper = { ...config, backup: { ...config.backup, sets: [] } };
const onRequest = {
  config: { ...config, backup: { ...config.backup, schedule: null } },
  overdue: now - 168 * hour,
};
const passing = {
  ...config,
  backup: { ...config.backup, sets: config.backup.sets.map((set) => ({ ...set, sealed: true })) },
};
const stranger = { ownRecipient: { key: 'age1own', file: '/data/.state/recipient' } };
const noNode = { failure: new Failure('unreachable', 'the node is not running', { hint: 'Start it.' }) };
const kitWith = (changes: Partial<NonNullable<DoctorFacts['kit']>>) => ({ kit: { ...kit, ...changes } });

const noVpn: Partial<NonNullable<DoctorFacts['kit']>> = {
  found: { ...expected, vpn: { kind: 'open', files: [] } },
  vpn: [],
};

const tcpWith = (changes: Partial<NonNullable<DoctorFacts['tcp']>>) => ({
  tcp: { congestion: 'cubic', hasBbr: true, sent: 1e6, resent: 100, ...changes },
});
const linkOf = (roundTrip: number): PeerFacts => {
  const { answer, ...rest } = peer('FR2');
  return 'node' in answer ? { ...rest, answer: { ...answer, clockDoubt: roundTrip / 2 } } : { ...rest, answer };
};
const [near, far] = [linkOf(2), linkOf(50)];

const cases: Case[] = [
  ['a hint of the configuration', checkConfiguration, { hints: ['old'] }, [['warning', 'old', '/srv/config.yaml']]],
  [
    'a configuration that a bare machine would not find',
    checkConfiguration,
    { config: { ...config, file: '/srv/config/fr1.yaml', base: '/srv' } },
    [['warning', '/srv/config/fr1.yaml is not called config.yaml', '--config config/fr1.yaml']],
  ],
  [
    'backups that its own key does not open',
    checkConfiguration,
    stranger,
    [['error', 'to other keys only', '--force']],
  ],
  ['no such backups where none is made', checkConfiguration, { ...stranger, config: keeper }, []],
  [
    'a kit that its own key does not open, where all backups are sealed by their sources',
    checkConfiguration,
    { ...stranger, config: passing },
    [['error', 'the kit that travels to the peers is sealed to other keys', '--force']],
  ],
  [
    'a server without an identity',
    checkKeys,
    {
      keys: {
        certificate: new Failure('config', 'no identity yet', { hint: 'init' }),
        isOfAnother: false,
        seenKeys: null,
        user: null,
        files: [],
      },
    },
    [['error', 'no identity yet', 'init']],
  ],
  [
    'a node key that others can read',
    checkKeys,
    { keys: keysOf(reads) },
    [['error', '0640', `chmod 600 ${reads.path}`]],
  ],
  [
    'a state folder that others can enter',
    checkKeys,
    { keys: keysOf({ path: '/my data/.state', mode: 0o755, owner: 998, holds: 'state' }) },
    [['warning', '0755', "chmod 700 '/my data/.state'"]],
  ],
  ["a secret of root that the node's user reads through its group", checkKeys, { keys: keysOf(password) }, []],
  [
    'a secret of root that everybody can read',
    checkKeys,
    { keys: keysOf({ ...password, mode: 0o644 }) },
    [['error', 'key can be used by others', 'chown 998 /etc/anemone/key; chmod 600 /etc/anemone/key']],
  ],
  [
    'its own clock off from all peers',
    checkClock,
    { peers: [peer('FR2', {}, 9e6), peer('US1', {}, 8e6)] },
    [['error', 'the clock of this server is 2 h 13 min or more behind', 'timedatectl']],
  ],
  [
    'the clock of one peer off',
    checkClock,
    { peers: [peer('FR2', {}, -9e6), peer('US1')] },
    [['warning', 'the clock of FR2 is 2 h 30 min behind', 'timedatectl']],
  ],
  ['clocks within a minute', checkClock, { peers: [peer('FR2', {}, 60_010)] }, []],
  ['a disk without room for a night', checkDisk, { free: 5e8 }, [['error', 'a night needs', 'Make room']]],
  ['a disk below its floor', checkDisk, { free: 9e8, newest: nightOf(10) }, [['error', 'are free', 'Make room']]],
  ['a disk that is nearly full', checkDisk, { free: 1.5e9 }, [['warning', 'are free', 'Make room']]],
  [
    'a disk that the node cannot write to',
    checkDisk,
    { node: status({ diskTroubles: ['/data: nothing can be written: the file system is read-only'] }) },
    [['error', 'read-only', 'dmesg']],
  ],
  [
    'a disk below its floor once, where the node says so too',
    checkDisk,
    { free: 9e8, newest: nightOf(10), node: status({ diskTroubles: ['/data: 900 MB are free'] }) },
    [['error', '/data: 900 MB are free', 'df -h']],
  ],
  [
    'a full disk: that peers are refused, and that the next night is',
    checkDisk,
    { free: 4096, node: status({ diskTroubles: ['/data: 4.00 KiB are free'] }) },
    [
      ['error', '/data: 4.00 KiB are free', 'df -i'],
      ['error', 'a night needs', 'Make room'],
    ],
  ],
  ['a node that does not run', checkNode, { node: noNode }, [['error', 'not running', 'Start it.']]],
  [
    'a node that is there and does not answer, and no second one to start',
    checkNode,
    { node: { failure: new Failure('timeout', 'the node did not answer for 10 s') } },
    [['error', 'did not answer', 'Wait a minute, and ask again. If it stays so: look into']],
  ],
  ['a last run that failed', checkRuns, { node: status({ lastRun: failedRun }) }, [['error', 'failed', 'backup']]],
  [
    'a set that fails every night while the others are saved',
    checkRuns,
    { node: withSet({ savedAtMs: now - 50 * hour, problem }) },
    [['error', 'the set database was not saved 10 h ago: pg_dump ended with 1', 'Start PostgreSQL.']],
  ],
  [
    'a set that failed without a hint, once and not twice in a run that failed',
    checkRuns,
    { node: withSet({ savedAtMs: 0, problem: { ...problem, hint: '' } }, failedRun) },
    [['error', 'pg_dump ended with 1', 'anemone-peer backup --set database']],
  ],
  [
    'what a backup leaves out',
    checkRuns,
    { node: withSet({ warnings: 3, firstWarning: 'a is left out' }) },
    [['warning', 'the backup of the set database is not whole: a is left out, and 2 more', 'backup --set database']],
  ],
  [
    'what else went wrong in the last run',
    checkRuns,
    { node: status({ lastRun: { ...doneRun, problems: [{ ...problem, message: 'retention: EIO', hint: '' }] } }) },
    [['warning', 'in the last run, 1 h ago: retention: EIO', 'anemone-peer backup']],
  ],
  [
    'nothing in the last run about peers where none is configured: that is said of the peers',
    checkRuns,
    { node: status({ lastRun: { ...doneRun, problems: [lonely] } }), config: { ...config, peers: [] } },
    [],
  ],
  [
    'that the last run had no peers, where there is one by now',
    checkRuns,
    { node: status({ lastRun: { ...doneRun, problems: [lonely] } }) },
    [['warning', 'no peer is configured', 'Add a peer.']],
  ],
  [
    'two nights without a run',
    checkRuns,
    { node: status({ lastRun: oldRun }) },
    [['warning', '1 d 11 h ago', 'backup']],
  ],
  [
    'what is kept and was not read again for weeks, as where each night meets a request',
    checkRuns,
    { node: status({ lastRun: readAgain(46) }) },
    [['warning', 'the last time that was done for one of them was 46 d ago', 'anemone-peer push']],
  ],
  [
    'nothing about what is kept that the next nights will read',
    checkRuns,
    { node: status({ lastRun: readAgain(44) }) },
    [],
  ],
  [
    'a last run in the future',
    checkRuns,
    { node: status({ lastRun: { ...doneRun, startedAtMs: now + 40 * hour } }) },
    [['warning', 'the last run is in 1 d 16 h, by the clock of this server', 'timedatectl set-ntp true']],
  ],
  [
    'a server where no night is scheduled, and nobody asked for a run',
    checkRuns,
    { node: status({ lastRun: { ...doneRun, startedAtMs: now - 170 * hour } }), ...onRequest },
    [['warning', 'the last run was 7 d 2 h ago, and none is scheduled', 'anemone-peer backup']],
  ],
  ['nothing where somebody did', checkRuns, { node: status({ lastRun: oldRun }), ...onRequest }, []],
  ['nothing about runs where no node can be asked', checkRuns, { node: noNode }, null],
  [
    'a node that runs with the key from before a restore',
    checkNode,
    { keys: restored },
    [['error', 'the node was started before its key was replaced', 'Restart the node.']],
  ],
  [
    'a backup that no peer holds, because the node runs with the key from before a restore',
    checkBackups,
    { keys: restored, newest: heldBy() },
    [['error', 'no peer holds', 'Restart the node. Then: anemone-peer backup']],
  ],
  ['an updated program', checkNode, { node: status({ version: '0.0.9' }) }, [['warning', '0.0.9', 'Restart']]],
  [
    'a stray file',
    checkNode,
    { node: status({ findings: ['notes.txt'] }) },
    [['warning', 'notes.txt', 'config-backups']],
  ],
  [
    'no peers',
    checkPeers,
    { peers: [], config: { ...config, peers: [] } },
    [['error', 'no peer', 'anemone-peer peer add']],
  ],
  ['nothing about peers that cannot be asked without a key', checkPeers, { peers: [] }, null],
  ['nothing about clocks where no peer answers', checkClock, { peers: [silent('FR2')] }, null],
  ['nothing about a disk that cannot be asked', checkDisk, { free: null }, null],
  ['nothing about the links of a system that does not count losses', checkTcp, { tcp: null }, null],
  ['nothing about a kit that cannot be its own without a key', checkKit, { kit: null }, null],
  [
    'a node that this user may not ask, and not that it does not run',
    checkNode,
    { node: { failure: new Failure('forbidden', 'this user may not talk to it', { hint: 'Run this as root.' }) } },
    [['warning', 'this user may not talk to it', 'Run this as root.']],
  ],
  ['a silent peer', checkPeers, { peers: [silent('FR2'), peer('US1')] }, [['warning', 'FR2 does not', 'VPN']]],
  ['nobody who answers', checkPeers, { peers: [silent('FR2')] }, [['error', 'FR2 does not answer', 'VPN']]],
  [
    'another machine in the place of a peer',
    checkPeers,
    { peers: [silent('FR2', 'untrusted'), peer('US1')] },
    [['error', 'FR2 does not answer', '']],
  ],
  [
    'a server that was rebuilt elsewhere',
    checkPeers,
    {
      config: { ...config, base: '/my server' },
      peers: [peer('FR2', { newestEpochMs: newer.epoch, newestCertificate: newer.der })],
    },
    [
      [
        'error',
        'newer node key',
        `anemone-peer restore --server FR1 --peer '10.8.0.2:7443#${config.peers[0]?.identity}' --target '/my server'`,
      ],
    ],
  ],
  [
    'a peer that claims so without proof',
    checkPeers,
    { peers: [peer('FR2', { newestEpochMs: newer.epoch, newestCertificate: self.certificate.der })] },
    [],
  ],
  [
    'a quota that is used up',
    checkPeers,
    { peers: [peer('FR2', { used: 9.5e9 })] },
    [['error', 'quota on FR2', 'raise']],
  ],
  [
    'a quota that nearly is',
    checkPeers,
    { peers: [peer('FR2', { used: 8e9 })] },
    [['warning', 'three nights', 'raise']],
  ],
  ['no quota', checkPeers, { peers: [peer('FR2', { used: 9e12, quota: 0 })] }, []],
  [
    'a peer whose quota here is used up',
    checkPeers,
    { node: storing('FR2', { quota: 1e10, used: 9.5e9, night: 1e9 }) },
    [['warning', 'FR2 has 8.85 GiB here of its quota of 9.31 GiB, and a night', 'Raise the quota of FR2']],
  ],
  ['a peer that has room here', checkPeers, { node: storing('FR2', { quota: 1e10, used: 9e9, night: 1e9 }) }, []],
  ['a peer without a quota here', checkPeers, { node: storing('FR2', { quota: 0, used: 9e12, night: 1e9 }) }, []],
  ['a full peer', checkPeers, { peers: [peer('FR2', { free: 10 })] }, [['error', 'disk of FR2', 'make room']]],
  [
    'a peer that refuses what it is owed, also an older backup than the newest, which it holds',
    checkPeers,
    { node: storing('FR2', { owed: ['old.enc', 'x.enc'], problem: noRoom }) },
    [['error', noRoom.message, 'FR2 says: Free some disk.']],
  ],
  [
    'nothing of a peer that refuses what it is owed, where that may pass',
    checkPeers,
    { node: storing('FR2', { owed: ['old.enc'], problem: noRoom, problemMayPass: true }) },
    [],
  ],
  [
    'a peer that does not answer once, and not what it said before',
    checkPeers,
    { peers: [silent('FR2'), peer('US1')], node: storing('FR2', { owed: ['old.enc'], problem: noRoom }) },
    [['warning', 'FR2 does not answer', 'VPN']],
  ],
  [
    'no refusal of the key from before a restore, with which the node still runs',
    checkPeers,
    { node: status({ peers: [refusedBy('FR2', noRoom)] }), keys: restored },
    [],
  ],
  [
    'a peer of another version',
    checkPeers,
    { peers: [peer('FR2', { version: '9.0.0' })] },
    [['warning', '9.0.0', 'Update']],
  ],
  ['a peer of another name', checkPeers, { peers: [peer('FR2', { hostname: 'FR3' })] }, [['warning', 'FR3', 'Rename']]],
  [
    'a damaged copy',
    checkPeers,
    { peers: [peer('FR2', { damaged: ['x.enc'] })] },
    [['warning', 'x.enc', 'anemone-peer backup; and look at the disk of FR2']],
  ],
  [
    'a damaged copy of what nobody holds any more, which no backup brings back',
    checkPeers,
    { peers: [peer('FR2', { damaged: ['x.enc', 'old.enc'] })] },
    [
      ['warning', 'found x.enc damaged', 'anemone-peer backup'],
      ['advice', 'found old.enc damaged on its disk, and nobody', '.quarantine'],
    ],
  ],
  [
    'a damaged copy where nobody knows what this server holds',
    checkPeers,
    { peers: [peer('FR2', { damaged: ['old.enc'] })], listed: ['FR2', 'US1'] },
    [['warning', 'old.enc', 'anemone-peer backup']],
  ],
  [
    'a damaged copy that may still be held by a peer that shows no list',
    checkPeers,
    { peers: [peer('FR2', { damaged: ['old.enc'] }), peer('US1')], listed: ['FR1', 'FR2'] },
    [['warning', 'old.enc', 'anemone-peer backup']],
  ],
  ['no backup anywhere', checkBackups, { newest: [] }, [['error', 'the set backup anywhere', 'anemone-peer backup']]],
  [
    'a backup that no peer holds',
    checkBackups,
    { newest: heldBy() },
    [['error', 'no peer holds', 'anemone-peer backup']],
  ],
  ['a peer that lacks it', checkBackups, { newest: heldBy('US1') }, [['warning', 'FR2 does not hold', 'anemone-peer']]],
  [
    'nothing twice of a peer that lacks it because it has no room',
    checkBackups,
    { newest: heldBy('US1'), node: status({ peers: [refusedBy('FR2', noRoom)] }) },
    [],
  ],
  [
    'a peer that lacks it, though what it has no room for is another one',
    checkBackups,
    { newest: heldBy('US1'), node: storing('FR2', { owed: ['another'], problem: noRoom }) },
    [['warning', 'FR2 does not hold', 'anemone-peer backup']],
  ],
  [
    'a backup that no peer holds, because one of them has no room',
    checkBackups,
    { newest: heldBy(), node: status({ peers: [refusedBy('FR2', noRoom)] }) },
    [['error', 'no peer holds', 'Mend what is said of FR2. Then: anemone-peer backup']],
  ],
  [
    'many peers that lack it at once',
    checkBackups,
    { peers: many.map((name) => peer(name)), listed: many, newest: heldBy('US1') },
    [['warning', 'A, B, C and 2 others do not hold the newest, the newest of its set', 'anemone-peer backup']],
  ],
  [
    'nothing of a backup that is on its way in a run',
    checkBackups,
    { newest: heldBy(), node: delivering('FR2', 'US1') },
    [],
  ],
  [
    'in a run only who is not owed what it lacks',
    checkBackups,
    { newest: heldBy(), node: delivering('FR2') },
    [['error', 'no peer holds', 'anemone-peer backup']],
  ],
  ['nobody who can be asked', checkBackups, { newest: [], listed: [], peers: [silent('FR2')] }, null],
  ['peers that answer, and refuse to show their lists', checkBackups, { listed: ['FR1'] }, null],
  ['no set', checkBackups, { newest: [], config: keeper }, []],
  ['no kit', checkKit, kitWith({ found: null }), [['warning', 'there is no kit', 'anemone-peer kit']]],
  [
    'a kit that is none',
    checkKit,
    kitWith({ found: new Failure('damaged', 'cut') }),
    [['warning', 'cut', 'anemone-peer kit']],
  ],
  [
    'a kit without the newest peer',
    checkKit,
    kitWith({ expected: { ...expected, peers: [] } }),
    [['warning', 'names other servers', 'anemone-peer kit']],
  ],
  [
    'a VPN that changed since',
    checkKit,
    kitWith({ vpn: [{ path: vpnFile.path, changedAt: now }] }),
    [['warning', 'wg0.conf changed', 'anemone-peer kit']],
  ],
  ['a VPN file that is new', checkKit, kitWith({ vpn: [] }), [['warning', 'other VPN files', 'anemone-peer kit']]],
  [
    'a VPN file that cannot be read',
    checkKit,
    kitWith({ ...noVpn, missing: [{ path: '/etc/wireguard', reason: 'this user may not read it' }] }),
    [['warning', 'does not hold /etc/wireguard: this user may not read it', 'sudo anemone-peer kit']],
  ],
  [
    'a VPN file that is not there',
    checkKit,
    kitWith({ missing: [{ path: '/srv/gone.conf', reason: 'it is not there' }] }),
    [['warning', 'does not hold /srv/gone.conf: it is not there', 'Correct vpn.config']],
  ],
  [
    'nothing about a VPN file that this user may not read, but whoever wrote the kit could',
    checkKit,
    kitWith({ vpn: [], missing: [{ path: '/etc/wireguard', reason: 'this user may not read it' }] }),
    [],
  ],
  ['Node.js 20', checkNodeVersion, { nodeVersion: '20.20.2' }, [['warning', '2026-04-30', 'Node.js 24']]],
  ['Node.js of the future', checkNodeVersion, { nodeVersion: '44.0.0' }, []],
  ['a lossy link', checkTcp, tcpWith({ resent: 1e4 }), [['advice', '1.0 %', 'bbr']]],
  [
    'a long link that loses little',
    checkTcp,
    { ...tcpWith({ resent: 2e3 }), peers: [far] },
    [['advice', '0.2 %', 'bbr']],
  ],
  ['a short link that loses as little', checkTcp, { ...tcpWith({ resent: 2e3 }), peers: [near] }, []],
  ['a lossy link with BBR', checkTcp, tcpWith({ congestion: 'bbr', resent: 1e4 }), []],
  ['a lossy link of a kernel without BBR', checkTcp, tcpWith({ hasBbr: false, resent: 1e4 }), []],
  ['a link that was hardly used', checkTcp, tcpWith({ sent: 100, resent: 50 }), []],
  [
    'a recovery that was never proven',
    checkRestores,
    { drill: undefined },
    [['advice', 'never proven', 'anemone-peer restore --drill']],
  ],
  ['no recovery of a server that has nothing to recover', checkRestores, { drill: undefined, config: keeper }, []],
  ['nothing about recoveries that nobody can tell of', checkRestores, { drill: new Failure('failed', 'EACCES') }, null],
  [
    'the files of a restore that was killed while it unpacked',
    checkRestores,
    { staging: ['/srv/my files/.anemone-restore-20261123-010000'] },
    [['warning', 'left opened files in /srv/my files/', "rm -r '/srv/my files/.anemone-restore-20261123-010000'"]],
  ],
  [
    'a restore that was not finished',
    checkRestores,
    {
      parts: [{ path: '/srv/.part', backup: { owner: parseHostname('FR1'), set: 'backup', time: now }, size: 2 ** 30 }],
    },
    [['advice', 'anemone-backup-FR1-20261123-120000.enc was not finished: 1.00 GiB', 'rm /srv/.part']],
  ],
];

it('checkBackups says nothing of a peer that was away or busy, and answers now, but that it lacks the backup', () => {
  const lacking: DoctorFacts = { ...well, newest: heldBy('US1') };
  const away = PeerStatus.fromPartial({ ...refusedBy('FR2', noRoom), problemMayPass: true });
  expect(checkBackups({ ...lacking, node: status({ peers: [away] }) })).toEqual(checkBackups(lacking));
});

describe('the doctor finds', () => {
  it.each(cases)('%s', (_what, check, changes, wanted) => {
    const findings = check({ ...well, ...changes });
    if (wanted === null) return expect(findings).toBeNull();
    expect(findings).toHaveLength(wanted.length);
    for (const [index, [severity, problem, mend]] of wanted.entries()) {
      const finding = findings?.[index];
      expect(finding?.severity).toBe(severity);
      expect(finding?.problem).toContain(problem);
      expect(finding?.mend).toContain(mend);
      expect(finding?.why).toMatch(/[.?]$/);
    }
  });
});

it('says of each secret what it is good for', () => {
  const files = (['node key', 'password', 'credentials'] as const).map((holds) => ({ ...reads, holds }));
  expect(checkKeys({ ...well, keys: keysOf(...files) })?.map(({ why }) => why)).toEqual([
    expect.stringContaining('be this server'),
    expect.stringContaining('open the backups'),
    expect.stringContaining('what the export sends'),
  ]);
});
