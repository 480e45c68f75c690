import { hashSize, leafSize } from '../../mesh/manifest/digest-tree.js';
import type { OwnBackup } from '../outbox/owed.js';

/** Bytes that one peer is asked for in a night. */
const nightly = 64 * 2 ** 20;
/** Leaves that find a loss of 1 % with a probability of 99 %. */
const mostSamples = 460;
/** Fewer would hardly be a proof. */
const leastSamples = 16;

/** A backup to be proven tonight. */
export interface Choice {
  readonly backup: OwnBackup;
  readonly newest: boolean;
  /** How many of its leaves to ask for. */
  readonly samples: number;
}

/**
 * What a peer is asked to prove tonight: the newest backup of each set always, and of the older ones those that were
 * asked for longest ago, as many as fit into what is left. A night may exceed its bytes only by the smallest proofs of the
 * newest ones and of one older one.
 * @param askedAt milliseconds since 1970; 0 for never
 */
export function choose(backups: readonly OwnBackup[], askedAt: (backup: OwnBackup) => number): Choice[] {
  const isNewest = (backup: OwnBackup): boolean =>
    !backups.some((other) => other.set === backup.set && other.sequence > backup.sequence);
  const newest = backups.filter(isNewest).sort((a, b) => a.size - b.size);
  const older = backups
    .filter((backup) => !isNewest(backup))
    .sort((a, b) => askedAt(a) - askedAt(b) || b.sequence - a.sequence);
  const choices: Choice[] = [];
  const reserved = older.length === 0 ? 0 : nightly / 2;
  let left = nightly - reserved;
  for (const [index, backup] of newest.entries()) {
    // Small ones come first and leave what they do not need to the others.
    const samples = samplesWithin(backup, left / (newest.length - index));
    left -= cost(backup, samples);
    choices.push({ backup, newest: true, samples });
  }
  left += reserved;
  for (const [index, backup] of older.entries()) {
    const samples = samplesWithin(backup, left);
    if (index > 0 && cost(backup, samples) > left) continue;
    left -= cost(backup, samples);
    choices.push({ backup, newest: false, samples });
  }
  return choices;
}

function samplesWithin(backup: OwnBackup, bytes: number): number {
  const affordable = Math.floor((bytes - cost(backup, 0)) / leafSize);
  return Math.min(leavesOf(backup), mostSamples, Math.max(leastSamples, affordable));
}

function cost(backup: OwnBackup, samples: number): number {
  return leavesOf(backup) * hashSize + Math.min(backup.size, samples * leafSize);
}

function leavesOf({ size }: OwnBackup): number {
  return Math.ceil(size / leafSize);
}
