import type { ServerIdentity } from '../../mesh/identity/server-identity.js';
import { enabledPeers } from '../../mesh/peers/configured-peers.js';
import { type Connection, connectTo, controlPatience, type Meet } from '../../mesh/peers/connection.js';
import { getTimedNode, type TimedNode } from '../../mesh/peers/get-node.js';
import { describePeer, type Peer } from '../../mesh/peers/peer.js';
import type { Clock } from '../../mesh/terms/clock.js';
import { Failure } from '../../mesh/terms/failure.js';
import type { CommonFlags, Context } from './context.js';
import { whoAnswers } from './who-answers.js';

/** What one peer said, or why it said nothing. */
export type PeerAnswer<T> = { readonly peer: Peer } & ({ readonly value: T } | { readonly failure: Failure });

export interface AskOptions {
  readonly self: ServerIdentity;
  readonly meet?: Meet;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly flags: Pick<CommonFlags, 'timeout'>;
}

/** Milliseconds that a silent peer is waited for. */
export function patienceOf({ timeout }: Pick<CommonFlags, 'timeout'>): number {
  return timeout === undefined ? controlPatience : timeout * 1000;
}

/** What a peer that was asked who it is said, or why it said nothing. */
export type NodeAnswer = TimedNode | { readonly failure: Failure };

/** Asks every enabled peer who it is, and compares its clock. @returns the answers by hostname, in the order of the peers */
export async function askNodes(context: Context): Promise<ReadonlyMap<string, NodeAnswer>> {
  const options = { ...context, self: await context.self(), meet: await context.currentOnly() };
  const answers = await askPeers(enabledPeers(await context.loadConfig()), options, getTimedNode);
  return new Map(
    answers.map((answer) => [answer.peer.name, 'value' in answer ? answer.value : { failure: answer.failure }]),
  );
}

/**
 * Puts one question to every peer at once. Each has its own connection and its own deadline, so a dead peer costs the
 * others nothing; the answers come in the order of the peers.
 * @throws Failure `interrupted` only
 */
export async function askPeers<T>(
  peers: readonly Peer[],
  options: AskOptions,
  ask: (connection: Connection, signal: AbortSignal) => Promise<T>,
): Promise<PeerAnswer<T>[]> {
  const known = (): readonly Peer[] => peers;
  const answers = await Promise.all(peers.map((peer) => askPeer(peer, { ...options, known }, ask)));
  if (options.signal.aborted) throw new Failure('interrupted', 'interrupted');
  return answers;
}

async function askPeer<T>(
  peer: Peer,
  { self, meet, known, clock, signal, flags }: AskOptions & { readonly known: () => readonly Peer[] },
  ask: (connection: Connection, signal: AbortSignal) => Promise<T>,
): Promise<PeerAnswer<T>> {
  const patience = patienceOf(flags);
  const deadline = new AbortController();
  const stopTimer = clock.after(patience, () => deadline.abort());
  const stop = AbortSignal.any([signal, deadline.signal]);
  let connection: Connection | undefined;
  try {
    connection = connectTo(peer, self, clock, { meet, known, patience });
    return { peer, value: await ask(connection, stop) };
  } catch (thrown) {
    const late = deadline.signal.aborted && !signal.aborted;
    const why = `${describePeer(peer)} did not answer within ${patience / 1000} s`;
    if (late) return { peer, failure: new Failure('timeout', why, { cause: thrown }) };
    return { peer, failure: await whoAnswers(peer, { self, clock, signal: stop }, Failure.from(thrown)) };
  } finally {
    stopTimer();
    connection?.close();
  }
}
