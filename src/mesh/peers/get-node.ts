import type { GetNodeResponse } from '../generated/anemone/peer/v1/peer.js';
import { type NodeCertificate, provenEpoch } from '../identity/node-certificate.js';
import { callUnary } from '../wire/calls.js';
import { peerService } from '../wire/methods.js';
import type { Connection } from './connection.js';

/** Who answers there, its clock, and what we may still store. */
export function getNode(
  connection: Connection,
  signal?: AbortSignal,
  { newestBackups = false } = {},
): Promise<GetNodeResponse> {
  return callUnary(connection.control, peerService.getNode, { newestBackups }, signal);
}

/**
 * Whether a node has seen a node key of its caller that is newer than this one. Its certificate proves that, for only the
 * recovery key can make one.
 */
export function hasSeenNewer(
  { newestCertificate }: GetNodeResponse,
  { identity, epoch }: Pick<NodeCertificate, 'identity' | 'epoch'>,
): boolean {
  return provenEpoch(newestCertificate, identity) > epoch;
}

/** What a node said, and how its clock stands to ours. */
export interface TimedNode {
  readonly node: GetNodeResponse;
  /** Milliseconds that its clock is ahead of ours, with half the way back and forth taken off. */
  readonly clockAhead: number;
  /** How far that may be wrong: half the way back and forth. */
  readonly clockDoubt: number;
}

/** Asks a node who it is, and compares its clock when it answers. */
export async function getTimedNode(connection: Connection, signal?: AbortSignal): Promise<TimedNode> {
  const { clock } = connection.control;
  // The second call finds the connection open, so that the way there and back is all it takes.
  await getNode(connection, signal);
  const asked = clock.monotonic();
  const node = await getNode(connection, signal);
  const half = (clock.monotonic() - asked) / 2;
  return { node, clockAhead: node.timeMs + half - clock.now(), clockDoubt: half };
}

/** Clocks further apart than this many milliseconds are worth a word: names and retention go by them. */
const clockTolerance = 60_000;

export function isClockOff({ clockAhead, clockDoubt }: TimedNode): boolean {
  return Math.abs(clockAhead) - clockDoubt > clockTolerance;
}
