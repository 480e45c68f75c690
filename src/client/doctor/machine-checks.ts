import { basename, relative } from 'node:path';
import { isClockOff } from '../../mesh/peers/get-node.js';
import { formatBackupName } from '../../mesh/terms/backup-name.js';
import { formatByteSize } from '../../mesh/terms/byte-size.js';
import { Failure } from '../../mesh/terms/failure.js';
import { fewNames } from '../../mesh/terms/few-names.js';
import { shellWord } from '../../mesh/terms/shell-word.js';
import { formatDuration } from '../render/moments.js';
import type { DoctorFacts, KeyFile } from './facts.js';
import { advice, type Check, error, type Finding, warning } from './finding.js';

export const checkConfiguration: Check = ({ hints, config, ownRecipient }) => {
  const findings = hints.map((hint) => {
    return warning(hint, 'What is old or surprising here may not do what you think.', `Correct it in ${config.file}.`);
  });
  const { encryption, sets } = config.backup;
  if (sets.length > 0 && basename(config.file) !== 'config.yaml') {
    const why = 'A bare machine finds it by that name, and becomes no server without it.';
    const mend = `Rename it, also where the node is started; or note with the recovery key: restore needs --config ${shellWord(relative(config.base, config.file))}`;
    findings.push(warning(`${config.file} is not called config.yaml`, why, mend));
  }
  if (sets.length === 0 || ownRecipient === null) return findings;
  if (encryption.format !== 'age' || encryption.recipients.includes(ownRecipient.key)) return findings;
  const { key, file } = ownRecipient;
  // What a source has sealed is kept as it is, whoever the recipients are; the kit is sealed to them all the same.
  const [what, opens] = sets.every(({ sealed }) => sealed)
    ? ['the kit that travels to the peers is', 'does not open it, and a bare machine learns the peers from it']
    : ['backups are', 'opens none of them'];
  const problem = `${what} sealed to other keys only: \`recipients\` in ${config.file} lacks this server's own`;
  const why = `The recovery key of this server ${opens}. Were the keys copied from another server?`;
  const mend = `Add ${key} to \`recipients\`, then: anemone-peer backup --force. If it is meant so: rm ${shellWord(file)}`;
  return [...findings, error(problem, why, mend)];
};

export const checkKeys: Check = ({ keys }) => {
  if (keys.certificate instanceof Failure) {
    const { message, hint } = keys.certificate;
    const mend = hint ?? 'Run `anemone-peer init`, or `anemone-peer restore`.';
    if (keys.isOfAnother)
      return [warning(message, 'Only with it can peers be asked, and what they hold be compared.', mend)];
    return [error(message, 'Without it no peer lets this server in, and nothing can be signed.', mend)];
  }
  const seenKeys = keys.seenKeys === null ? [] : [notStarting(keys.seenKeys)];
  const open = keys.files.flatMap(({ path, mode, owner, holds }) => {
    // What belongs to another user, such as root, the node's user can only read through its group.
    const isOwn = keys.user === null || owner === keys.user;
    if ((mode & (isOwn ? 0o077 : 0o037)) === 0) return [];
    const problem = `${path} can be used by others than the node's user (mode ${mode.toString(8).padStart(4, '0')})`;
    const why = whoeverReads[holds];
    if (holds === 'state') return [warning(problem, why, `chmod 700 ${shellWord(path)}`)];
    const give = isOwn ? '' : `chown ${keys.user} ${shellWord(path)}; `;
    return [error(problem, why, `${give}chmod 600 ${shellWord(path)}`)];
  });
  return [...seenKeys, ...open];
};

function notStarting({ message, hint }: Failure): Finding {
  return error(
    message,
    'A node does not start with it: it might let in a stolen node key.',
    hint ?? 'Look at the disk.',
  );
}

const whoeverReads: Readonly<Record<KeyFile['holds'], string>> = {
  state: 'Whoever reads the node key in it can be this server to its peers, until it is rebuilt.',
  'node key': 'Whoever reads it can be this server to its peers, until it is rebuilt.',
  password: 'Whoever reads it can open the backups of this server.',
  credentials: 'Whoever reads it can get what the export sends.',
};

export const checkFiles: Check = ({ foreign }) => {
  if (foreign === null) return null;
  const { uid, gid, paths, places } = foreign;
  if (paths.length === 0) return [];
  const problem = `${fewNames(paths)} ${paths.length === 1 ? 'belongs' : 'belong'} to another user than the node's (uid ${uid})`;
  const why = 'What the node may not use keeps it from starting, or from taking, finding or delivering backups.';
  const mend = `As root: chown -R ${uid}:${gid} ${places.map(shellWord).join(' ')}; then restart the node.`;
  return [error(problem, why, mend)];
};

export const checkClock: Check = ({ peers }) => {
  const off = peers.flatMap(({ name, answer }) => ('node' in answer ? [{ name, ...answer }] : []));
  if (off.length === 0) return null;
  const far = off.filter(isClockOff);
  const why = 'Backups are named, ordered and expired by these clocks.';
  if (far.length >= 2 && far.length === off.length && sameSide(far.map(({ clockAhead }) => clockAhead))) {
    const least = Math.min(...far.map(({ clockAhead }) => Math.abs(clockAhead)));
    const problem = `the clock of this server is ${formatDuration(least)} or more ${(far[0]?.clockAhead ?? 0) > 0 ? 'behind' : 'ahead of'} those of all its peers`;
    return [error(problem, why, 'timedatectl set-ntp true')];
  }
  return far.map(({ name, clockAhead }) => {
    const where = clockAhead > 0 ? 'ahead of' : 'behind';
    const problem = `the clock of ${name} is ${formatDuration(Math.abs(clockAhead))} ${where} this server's`;
    return warning(problem, why, `See which one is right with \`date -u\`; then there: timedatectl set-ntp true`);
  });
};

function sameSide(differences: readonly number[]): boolean {
  return differences.every((each) => each > 0) || differences.every((each) => each < 0);
}

/** What the next night may need: as much as the newest backup of every set. */
export function sizeOfNight({ newest }: Pick<DoctorFacts, 'newest'>): number {
  return newest.reduce((sum, { size }) => sum + size, 0);
}

export const checkDisk: Check = (facts) => {
  const { free, config, node } = facts;
  const where = shellWord(config.server.data);
  const refused = ('failure' in node ? [] : node.diskTroubles).map((trouble) => {
    const mend = `See \`df -h ${where}\`, \`df -i ${where}\` and \`dmesg\`; make room there, or mend the disk.`;
    return error(trouble, 'What is refused meanwhile is not kept here.', mend);
  });
  if (free === null) return refused.length > 0 ? refused : null;
  const { minimumFree } = config.limits;
  const night = sizeOfNight(facts);
  const has = `${formatByteSize(free)} are free on the disk of ${config.server.data}`;
  const mend = `Make room there (df -h ${where}), or lower retention in ${config.file}.`;
  if (free < night) {
    const problem = `${has}, and a night needs ${formatByteSize(night)}`;
    return [...refused, error(problem, 'The next backup cannot be made.', mend)];
  }
  if (refused.length > 0) return refused;
  if (free < minimumFree) {
    const why = `Backups of peers are refused below limits.minimum_free, ${formatByteSize(minimumFree)}.`;
    return [error(has, why, mend)];
  }
  if (free - night < minimumFree) {
    return [warning(has, 'After the next night, backups of peers will be refused.', mend)];
  }
  return [];
};

export const checkRestores: Check = ({ parts, staging, drill, config }) => {
  const findings = parts.map(({ path, backup, size }) =>
    advice(
      `a restore of ${formatBackupName(backup)} was not finished: ${formatByteSize(size)} of it are in ${path}`,
      'The next restore of it goes on from there; until then it only takes room.',
      `anemone-peer restore ${formatBackupName(backup)}; or rm ${shellWord(path)}`,
    ),
  );
  for (const path of staging) {
    const why = 'They lie there in plain, and nothing needs them any more.';
    const mend = `Unless a restore is under way: rm -r ${shellWord(path)}`;
    findings.push(warning(`a restore that was cut off has left opened files in ${path}`, why, mend));
  }
  if (drill === undefined && config.backup.sets.length > 0) {
    const why = 'Whether the recovery key and the backups bring this server back is only known once it was tried.';
    findings.push(advice('a recovery was never proven', why, 'anemone-peer restore --drill'));
  }
  return drill instanceof Failure && findings.length === 0 ? null : findings;
};

/** The ends of life of Node.js, from the schedule of its releases: https://github.com/nodejs/release */
const endsOfLife: Readonly<Record<number, number>> = {
  20: Date.UTC(2026, 3, 30),
  21: Date.UTC(2024, 5, 1),
  22: Date.UTC(2027, 3, 30),
  23: Date.UTC(2025, 5, 1),
  24: Date.UTC(2028, 3, 30),
  25: Date.UTC(2026, 5, 1),
  26: Date.UTC(2029, 3, 30),
};

export const checkNodeVersion: Check = ({ nodeVersion, now }) => {
  const end = endsOfLife[Number.parseInt(nodeVersion, 10)];
  if (end === undefined || now < end) return [];
  const problem = `Node.js ${nodeVersion} is past its end of life (${new Date(end).toISOString().slice(0, 10)})`;
  return [warning(problem, 'It gets no more fixes of security, TLS and HTTP/2.', 'Install Node.js 24.')];
};

/** Segments that must have been sent before their losses say anything. */
const enoughSegments = 20_000;

/** Shares of lost segments from which TCP's usual answer costs most of the rate: on any link, and on a long one. */
const muchLost = { anywhere: 0.005, far: 0.001 };
/** Milliseconds to a peer and back that make a long link. */
const far = 20;

export const checkTcp: Check = ({ tcp, peers }) => {
  if (tcp === null) return null;
  if (tcp.congestion === 'bbr' || !tcp.hasBbr || tcp.sent < enoughSegments) return [];
  const lost = tcp.resent / tcp.sent;
  const isFar = peers.some(({ answer }) => 'node' in answer && 2 * answer.clockDoubt > far);
  if (lost < (isFar ? muchLost.far : muchLost.anywhere)) return [];
  const problem = `${(lost * 100).toFixed(1)} % of what this server sends is lost on the way, and TCP uses ${tcp.congestion}`;
  const mend = 'modprobe tcp_bbr; sysctl -w net.core.default_qdisc=fq net.ipv4.tcp_congestion_control=bbr';
  return [advice(problem, 'On such links BBR sends several times as fast.', mend)];
};
