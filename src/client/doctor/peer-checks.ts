import type { Problem } from '../../mesh/generated/anemone/node/v1/node.js';
import { enabledPeers } from '../../mesh/peers/configured-peers.js';
import { hasSeenNewer, type TimedNode } from '../../mesh/peers/get-node.js';
import { formatAddress } from '../../mesh/terms/address.js';
import { formatByteSize } from '../../mesh/terms/byte-size.js';
import { Failure } from '../../mesh/terms/failure.js';
import { shellWord } from '../../mesh/terms/shell-word.js';
import type { DoctorFacts } from './facts.js';
import { advice, type Check, error, type Finding, warning } from './finding.js';
import { sizeOfNight } from './machine-checks.js';

export const checkPeers: Check = (facts) => {
  const { peers, config } = facts;
  if (!config.peers.some(({ enabled }) => enabled)) {
    const why = 'Backups that are on this server only are lost with it.';
    return [error('no peer is configured and enabled', why, 'anemone-peer peer add NAME --vpn-ip ADDR --identity KEY')];
  }
  if (peers.length === 0) return null;
  const silent = peers.filter(({ answer }) => 'failure' in answer).length;
  const answers = peers.flatMap((peer) => {
    const { answer } = peer;
    if ('node' in answer) return answering(peer.name, answer, facts);
    const { kind, message, hint } = answer.failure;
    const mend = hint ?? 'Is the VPN up, and the node running there? See `anemone-peer status`.';
    const why = 'Nothing is kept on it, and nothing comes back from it, while this lasts.';
    const isGrave = silent === peers.length || kind === 'untrusted' || kind === 'forbidden';
    return [isGrave ? error(message, why, mend) : warning(message, why, mend)];
  });
  return [...answers, ...crowdedHere(facts)];
};

/** Peers that have no room left here: they are refused, and their people may look seldom. */
function crowdedHere({ node, config }: DoctorFacts): Finding[] {
  if ('failure' in node) return [];
  const crowded = node.peers.filter(({ quota, used, night }) => quota > 0 && quota - used < night);
  return crowded.map(({ name, quota, used, night }) => {
    const problem = `${name} has ${formatByteSize(used)} here of its quota of ${formatByteSize(quota)}, and a night of it needs ${formatByteSize(night)}`;
    const mend = `Raise the quota of ${name} in ${config.file}, or lower retention.peers.`;
    return warning(problem, 'Its next backup is refused here.', mend);
  });
}

function answering(name: string, { node }: TimedNode, facts: DoctorFacts): Finding[] {
  const { version, keys } = facts;
  const findings: Finding[] = [];
  const night = sizeOfNight(facts);
  const refusal = refusalBy(name, facts);
  if (!(keys.certificate instanceof Failure) && hasSeenNewer(node, keys.certificate)) {
    const problem = `${name} has seen a newer node key of this server`;
    const why = 'It refuses this machine: another one was rebuilt with the recovery key and took its place.';
    findings.push(error(problem, why, `If this is the living server: ${takeBack(name, facts)}`));
  } else if (refusal !== null) {
    const mend = refusal.hint || 'Mend that. Then: anemone-peer backup';
    findings.push(error(refusal.message, 'What it is owed is not kept there while this lasts.', mend));
  }
  findings.push(...damagedOn(name, node.damaged, facts));
  if (node.hostname !== name) {
    const problem = `the peer that is called ${name} here calls itself ${node.hostname}`;
    findings.push(
      warning(problem, 'Lists and messages name a server that is not it.', `Rename it in ${facts.config.file}.`),
    );
  }
  const left = node.quota === 0 ? Number.POSITIVE_INFINITY : node.quota - node.used;
  if (left < night) {
    const problem = `${formatByteSize(Math.max(0, left))} of the quota on ${name} are left, and a night needs ${formatByteSize(night)}`;
    findings.push(error(problem, 'It refuses the next backup.', `On ${name}: raise the quota of this server.`));
  } else if (left < 3 * night) {
    const problem = `${formatByteSize(left)} of the quota on ${name} are left: less than three nights`;
    findings.push(warning(problem, 'It will soon refuse backups.', `On ${name}: raise the quota of this server.`));
  } else if (node.free < night) {
    const problem = `${formatByteSize(node.free)} are free on the disk of ${name}`;
    findings.push(error(problem, 'It refuses the next backup.', `On ${name}: make room, or lower retention.`));
  }
  if (node.version !== version) {
    const problem = `${name} runs version ${node.version}, this server ${version}`;
    findings.push(warning(problem, 'Mixed versions are less tried than equal ones.', 'Update the older one.'));
  }
  return findings;
}

/** What a peer found damaged comes back from whoever still holds it; of the rest there is no other copy to wait for. */
function damagedOn(name: string, damaged: readonly string[], facts: DoctorFacts): Finding[] {
  const { held, listed, peers, config } = facts;
  // Who does not say what it holds, this server or a peer, may still hold each.
  const isKnown = [config.server, ...peers].every((each) => listed.includes(each.name));
  const lost = isKnown ? damaged.filter((each) => !held.has(each)) : [];
  const lacking = damaged.filter((each) => !lost.includes(each));
  const findings: Finding[] = [];
  if (lacking.length > 0) {
    const problem = `${name} found ${lacking.join(', ')} damaged on its disk`;
    const mend = `anemone-peer backup; and look at the disk of ${name}`;
    findings.push(warning(problem, 'That copy brings nothing back.', mend));
  }
  if (lost.length > 0) {
    const problem = `${name} found ${lost.join(', ')} damaged on its disk, and nobody holds it any more`;
    const why = 'What rotation removed here is not sent again.';
    const mend = `Look at the disk of ${name}. Once it is removed from .quarantine there, and the node restarted, this ends.`;
    findings.push(advice(problem, why, mend));
  }
  return findings;
}

/**
 * How a superseded server takes its place back: as on a bare machine, for its own node key gets no answer, and where its files
 * are, for that is where the node finds the new one.
 */
function takeBack(name: string, { config }: DoctorFacts): string {
  const peer = enabledPeers(config).find((each) => each.name === name);
  const where = peer === undefined ? 'ADDRESS' : `${formatAddress(peer.address)}#${peer.identity}`;
  const words = ['--server', config.server.name, '--peer', where, '--target', config.base];
  const command = `anemone-peer restore ${words.map(shellWord).join(' ')}`;
  return `${command}, with the recovery key; then start the node again.`;
}

/** Whether the running node has another node key than lies on the disk now. */
export function hasOldKey({ node, keys: { certificate } }: DoctorFacts): boolean {
  return !('failure' in node) && !(certificate instanceof Failure) && certificate.epoch > node.epochMs;
}

/**
 * Why a peer does not take what it is owed, where trying again changes nothing as long as that lasts; else null.
 * @param backup that it is to be owed among others
 */
export function refusalBy(peer: string, facts: DoctorFacts, backup?: string): Problem | null {
  const { node } = facts;
  const status = 'failure' in node ? undefined : node.peers.find(({ name }) => name === peer);
  if (status?.problem === undefined || status.owed.length === 0 || status.problemMayPass) return null;
  if (backup !== undefined && !status.owed.includes(backup)) return null;
  return hasOldKey(facts) ? null : status.problem;
}
