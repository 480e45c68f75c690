import type { Problem } from '../../mesh/generated/anemone/node/v1/node.js';
import type { Hostname } from '../../mesh/terms/hostname.js';

/** That a peer lost a backup. */
export function lossOf(peer: Hostname, name: string, why: string): Problem {
  return {
    kind: 'damaged',
    message: `${peer} has lost ${name}: ${why}`,
    hint: `It is delivered again by itself. Look at the disk of ${peer}.`,
  };
}

/** That a peer refuses this server, which no week of waiting changes. */
export function refusalOf(peer: Hostname, excuse: Problem): Problem {
  return { ...excuse, message: `${peer} did not prove everything: ${excuse.message}` };
}

/** Of a peer that comes with one node key after another, no receipt stays until the night. */
export const nothingToProve: Problem = {
  kind: 'failed',
  message: 'there was nothing acknowledged by it that it could be asked for',
  hint: '',
};

/** That a peer gave only excuses for a week. */
export function withoutProof(peer: Hostname, sets: readonly string[], { kind, message }: Problem): Problem {
  const which = `${sets.length === 1 ? 'set' : 'sets'} ${sets.join(', ')}`;
  return {
    kind,
    message: `${peer} has not proved for a week that it holds the newest backup of ${which}: ${message}`,
    hint: `Without a proof, do not count on ${peer}.`,
  };
}
