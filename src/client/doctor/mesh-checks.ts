import { isDeepStrictEqual } from 'node:util';
import { Outcome, type RunReport, type SetStatus } from '../../mesh/generated/anemone/node/v1/node.js';
import type { MissingVpn } from '../../mesh/kit/kit.js';
import { unreadable } from '../../mesh/kit/vpn-files.js';
import { Failure } from '../../mesh/terms/failure.js';
import { fewNames } from '../../mesh/terms/few-names.js';
import { shellWord } from '../../mesh/terms/shell-word.js';
import { lateRun, notSaved } from '../render/faults.js';
import { formatMoment } from '../render/moments.js';
import { needsRestart } from '../render/status.js';
import type { DoctorFacts } from './facts.js';
import { type Check, error, type Finding, warning } from './finding.js';
import { hasOldKey, refusalBy } from './peer-checks.js';

export const checkNode: Check = (facts) => {
  const { node, version, config, keys, foreign } = facts;
  if ('failure' in node && node.failure.kind === 'forbidden') {
    const why = 'Only the node knows what it has found, and how its last run went.';
    return [warning(node.failure.message, why, node.failure.hint ?? 'Run this as the user of the node.')];
  }
  if ('failure' in node && node.failure.kind === 'timeout') {
    const why = 'It is there, and busy, or it hangs: then no night runs, and no peer can leave its backups here.';
    const mend = `Wait a minute, and ask again. If it stays so: look into its log, in ${config.server.logs}, and restart the node.`;
    return [error(node.failure.message, why, mend)];
  }
  if ('failure' in node) {
    const why = 'Without it no night runs, and no peer can leave its backups here.';
    const start = node.failure.hint ?? `anemone-node --config ${shellWord(config.file)}`;
    const isBarred = keys.seenKeys !== null || (foreign?.paths ?? []).length > 0;
    const mend = isBarred ? 'Mend what is said above of its files; then start it.' : start;
    return [error(node.failure.message, why, mend)];
  }
  const findings: Finding[] = node.findings.map((finding) =>
    warning(
      finding,
      'What the node does not hold as a good backup, nobody gets back from it.',
      `Look at it in ${config.server.data}.`,
    ),
  );
  if (hasOldKey(facts)) {
    const problem = 'the node was started before its key was replaced, as a restore does, and uses the old one';
    findings.push(error(problem, 'Peers that know the new one refuse what it brings.', 'Restart the node.'));
  }
  for (const problem of needsRestart(node)) {
    findings.push(warning(problem, 'The node reads it only when it is started.', 'Restart the node.'));
  }
  if (node.version !== version) {
    const problem = `the running node is version ${node.version}, and what is installed is ${version}`;
    findings.push(warning(problem, 'An update takes effect when the node is started again.', 'Restart the node.'));
  }
  return findings;
};

export const checkRuns: Check = (facts) => {
  const { node, now, config, newest } = facts;
  if ('failure' in node) return null;
  const { lastRun, historyProblem } = node;
  if (historyProblem !== undefined && lastRun === undefined) {
    const why = 'Nobody knows what past runs did, and the node removes no old backups.';
    return [warning(historyProblem.message, why, historyProblem.hint)];
  }
  if (lastRun === undefined) {
    const [problem, why] =
      newest.length > 0
        ? ['no backup was run since this machine was set up', 'What changed since the one before would be lost.']
        : ['no backup was ever run', 'Until the first run, there is nothing to bring this server back from.'];
    return config.backup.sets.length > 0 ? [warning(problem, why, 'anemone-peer backup')] : [];
  }
  const when = formatMoment(lastRun.startedAtMs, now);
  const sets = node.sets.flatMap((set) => standing(set, now));
  // That there is no peer, the only such problem of a run without one, is said of the peers.
  const isLonely = !config.peers.some(({ enabled }) => enabled);
  const problems = lastRun.problems.filter(({ kind }) => !isLonely || kind !== 'config');
  const findings = problems.map(({ message, hint }) =>
    warning(`in the last run, ${when}: ${message}`, 'It was done in part.', hint || 'anemone-peer backup'),
  );
  if (historyProblem !== undefined) {
    const why = 'When the node ends, nobody knows any more how that run went.';
    findings.push(warning(historyProblem.message, why, historyProblem.hint));
  }
  if (lastRun.startedAtMs > now) {
    const problem = `the last run is ${when}, by the clock of this server: that is wrong now, or was then`;
    const why = 'Nights and retention go by this clock, and after a jump nothing is removed for a night.';
    findings.push(warning(problem, why, 'timedatectl set-ntp true; if it is right now: anemone-peer backup'));
  }
  const late = lateRun(node, facts);
  if (lastRun.outcome === Outcome.OUTCOME_FAILED && !sets.some(({ severity }) => severity === 'error')) {
    const why = 'What changed since the last good one would be lost.';
    findings.push(error(`the last run failed, ${when}`, why, 'anemone-peer backup'));
  } else if (late !== null) {
    const [why, mend] =
      config.backup.schedule === null
        ? [
            'What changed since would be lost, and only a run removes old backups of peers, and reads what is kept again.',
            `anemone-peer backup; or schedule nights: backup.schedule in ${config.file}`,
          ]
        : ['What changed since then would be lost.', 'anemone-peer backup'];
    findings.push(warning(late, why, mend));
  }
  return [...sets, ...findings, ...unread(lastRun, now)];
};

/** Milliseconds. A node reads everything again within 30 days; one that was off for a while needs some more. */
const longestUnread = 45 * 86_400_000;

/** Nights that meet a request, or a stop of the node, leave what they read again to the next one: it may be so every night. */
function unread({ audit }: RunReport, now: number): Finding[] {
  const oldest = audit?.scrub?.oldestCheckMs ?? 0;
  if (oldest === 0 || now - oldest <= longestUnread) return [];
  const when = formatMoment(oldest, now);
  const problem = `backups that are kept here should be read again within 30 days, and the last time that was done for one of them was ${when}`;
  const why = 'If its file is damaged by now, nobody knows.';
  const mend = 'Give each night time for it: `anemone-peer backup` and `anemone-peer push` end what it reads.';
  return [warning(problem, why, mend)];
}

/** A set that fails is an error also where all others are saved: its last backup only gets older. */
function standing(status: SetStatus, now: number): Finding[] {
  const { set, savedAtMs, problem, warnings, firstWarning } = status;
  const again = `anemone-peer backup --set ${set}`;
  if (problem !== undefined) {
    const why =
      savedAtMs === 0
        ? 'It was never saved.'
        : `It was saved last ${formatMoment(savedAtMs, now)}: what changed since would be lost.`;
    return [error(notSaved(status, now), why, problem.hint || again)];
  }
  if (warnings === 0) return [];
  const more = warnings === 1 ? '' : `, and ${warnings - 1} more`;
  const what = `the backup of the set ${set} is not whole: ${firstWarning}${more}`;
  return [warning(what, 'What is left out cannot be brought back.', `\`${again}\` names all of it.`)];
}

export const checkBackups: Check = (facts) => {
  const { newest, peers, listed, config, now } = facts;
  const sets = config.backup.sets.map(({ name }) => name);
  if (sets.length === 0) return [];
  // A peer that refuses to show its list has said nothing about backups.
  const answered = peers.map(({ name }) => name).filter((name) => listed.includes(name));
  if (answered.length === 0) return null;
  return sets.flatMap((set) => {
    const found = newest.find((backup) => backup.set === set);
    if (found === undefined) {
      return [error(`there is no backup of the set ${set} anywhere`, 'It cannot be brought back.', again(facts, []))];
    }
    const { name, holders, createdAt } = found;
    const lacking = answered.filter((peer) => !holders.includes(peer) && !isOnItsWay(name, peer, facts));
    const what = `${name}, the newest of its set (made ${formatMoment(createdAt, now)})`;
    if (lacking.length > 0 && !answered.some((peer) => holders.includes(peer))) {
      const why = 'If this server were lost now, that is how old its files would be.';
      return [error(`no peer holds ${what}`, why, again(facts, lacking))];
    }
    // Who refuses it is told among the peers, with the reason.
    const others = lacking.filter((peer) => refusalBy(peer, facts, name) === null);
    if (others.length === 0) return [];
    const problem = `${fewNames(others)} ${others.length === 1 ? 'does' : 'do'} not hold ${what}`;
    return [warning(problem, 'Fewer peers than there are can bring it back.', again(facts, []))];
  });
};

/** Whether a run that is under way brings a backup to a peer, or will. */
function isOnItsWay(backup: string, peer: string, { node }: DoctorFacts): boolean {
  if ('failure' in node || !node.running) return false;
  return node.peers.some(({ name, owed }) => name === peer && owed.includes(backup));
}

/** Brings what peers lack, once that is mended which they refuse it for. */
function again(facts: DoctorFacts, lacking: readonly string[]): string {
  const refusing = lacking.filter((peer) => refusalBy(peer, facts) !== null);
  const first = [
    ...(hasOldKey(facts) ? ['Restart the node.'] : []),
    ...(refusing.length > 0 ? [`Mend what is said of ${fewNames(refusing)}.`] : []),
  ];
  return [...first, first.length === 0 ? 'anemone-peer backup' : 'Then: anemone-peer backup'].join(' ');
}

export const checkKit: Check = ({ kit }) => {
  if (kit === null) return null;
  const why = 'On the worst day it tells where the peers are, and how to reach them.';
  const mend = 'anemone-peer kit, and keep copies of it elsewhere';
  const { found, path } = kit;
  if (found === null) return [warning(`there is no kit at ${path}`, why, mend)];
  if (found instanceof Failure) return [warning(found.message, why, mend)];
  const { vpn, ...facts } = found;
  const held = vpn.files.map((file) => file.path);
  const findings = kit.missing.filter((each) => !held.some((file) => isOutOfSight(file, each))).map(notHeld);
  const named = held.filter((file) => !kit.missing.some((each) => isOutOfSight(file, each))).sort();
  const wanted = kit.vpn.map((file) => file.path).sort();
  const stale = kit.vpn.find(({ changedAt }) => changedAt > kit.writtenAt);
  if (!isDeepStrictEqual(facts, kit.expected)) {
    findings.push(
      warning(`${path} is not current: the configuration names other servers, addresses or keys`, why, mend),
    );
  } else if (stale !== undefined || JSON.stringify(named) !== JSON.stringify(wanted)) {
    const what = stale === undefined ? 'there are other VPN files' : `${stale.path} changed since it was written`;
    findings.push(warning(`${path} is not current: ${what}`, why, mend));
  }
  return findings;
};

/** Whether a file that a kit holds is one that this user may not read: root wrote that kit, and nobody else can compare. */
function isOutOfSight(file: string, { path, reason }: MissingVpn): boolean {
  return reason === unreadable && (file === path || file.startsWith(`${path}/`));
}

function notHeld({ path, reason }: MissingVpn): Finding {
  const mend =
    reason === unreadable ? 'sudo anemone-peer kit; or name other files with vpn.config' : 'Correct vpn.config.';
  return warning(`the kit does not hold ${path}: ${reason}`, 'A bare machine has to join its VPN first.', mend);
}
