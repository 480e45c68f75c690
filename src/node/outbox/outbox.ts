import {
  type DeliveryProgress,
  Outcome,
  type PeerReport,
  type PeerStatus,
} from '../../mesh/generated/anemone/node/v1/node.js';
import { Failure } from '../../mesh/terms/failure.js';
import type { Hostname } from '../../mesh/terms/hostname.js';
import { problemOf } from '../report/problem.js';
import type { OutboxPeer } from './deliver.js';
import { Lane, type LaneListener, type OutboxParts } from './lane.js';
import type { Acknowledged } from './receipts.js';
import type { RunSignals } from './run-signals.js';

/** Brings every peer what it is owed, each at its own pace: none waits for another. */
export interface Outbox {
  /**
   * Delivers to these peers from now on, as the configuration that was read says. One that was given before goes on, at once where
   * it refused; another object of its name starts anew.
   */
  follow(peers: readonly OutboxPeer[]): Promise<void>;
  /** A peer was seen (it called, or answered), or is owed something again. */
  kick(name: Hostname): void;
  /**
   * Tries every peer at once, and resolves when each has taken all it is owed or failed. A peer may take as long as it
   * likes while bytes move.
   * @param signals with `hurry`, how far it came is told
   */
  deliverNow(emit: (progress: DeliveryProgress) => void, signals: RunSignals): Promise<PeerReport[]>;
  /** The peers without a receipt for a backup that is in the vault. */
  peersWithout(backup: Acknowledged): Promise<Hostname[]>;
  /** Whether a peer takes bytes of a backup now, or has a part of it that it still keeps. @param name its file name */
  isHalfway(name: string): boolean;
  status(): Promise<LaneStatus[]>;
  /** Interrupts what is under way, and resolves when nothing is. What was not delivered is owed after the next start. */
  stop(): Promise<void>;
}

/** One lane, as `status` tells it: what its peer is owed, and how the last delivery failed. */
type LaneStatus = Pick<PeerStatus, 'name' | 'owed' | 'problem' | 'problemMayPass' | 'nextTryAtMs'>;

/** For nobody before it first follows. */
export function openOutbox(parts: OutboxParts): Outbox {
  const lanes = new Map<OutboxPeer, Lane>();
  return {
    async follow(peers) {
      const leaving = [...lanes.values()].filter(({ peer }) => !peers.includes(peer));
      for (const { peer } of leaving) lanes.delete(peer);
      await Promise.all(leaving.map((lane) => lane.stop()));
      for (const peer of peers) {
        const followed = lanes.get(peer);
        if (followed !== undefined) {
          followed.reconsider();
          continue;
        }
        const lane = new Lane(peer, parts);
        lanes.set(peer, lane);
        lane.start();
      }
    },
    kick(name) {
      for (const lane of lanes.values()) if (lane.peer.name === name) lane.kick();
    },
    deliverNow: (emit, signals) => Promise.all([...lanes.values()].map((lane) => deliverTo(lane, emit, signals))),
    async peersWithout(backup) {
      const lacking = [...lanes.keys()].map(async (peer) =>
        (await parts.receipts.read(peer, backup)) === undefined ? [peer.name] : [],
      );
      return (await Promise.all(lacking)).flat();
    },
    isHalfway: (name) => [...lanes.values()].some((lane) => lane.isHalfway(name)),
    status: () => Promise.all([...lanes.values()].map(statusOf)),
    async stop() {
      await Promise.all([...lanes.values()].map((lane) => lane.stop()));
    },
  };
}

async function deliverTo(
  lane: Lane,
  emit: (progress: DeliveryProgress) => void,
  signals: RunSignals,
): Promise<PeerReport> {
  const peer = lane.peer.name;
  const delivered = new Set<string>();
  /** Of each backup, what the peer had before and has now. */
  const brought = new Map<string, { readonly from: number; readonly to: number }>();
  const listener: LaneListener = {
    progress(backup, bytes) {
      brought.set(backup.name, { from: brought.get(backup.name)?.from ?? bytes, to: bytes });
      emit({ peer, backup: backup.name, bytes, total: backup.size });
    },
    delivered: (backup) => void delivered.add(backup.name),
  };
  const failure = await lane.tryNow(listener, signals);
  const left = await countOwed(lane);
  const trouble = failure ?? (left instanceof Failure ? left : undefined);
  return {
    peer,
    outcome: outcomeFor(delivered.size, trouble),
    delivered: [...delivered],
    owed: left instanceof Failure ? 0 : left,
    bytes: [...brought.values()].reduce((sum, { from, to }) => sum + Math.max(0, to - from), 0),
    problem: trouble === undefined ? undefined : problemOf(trouble),
  };
}

async function countOwed(lane: Lane): Promise<number | Failure> {
  try {
    return (await lane.owed()).length;
  } catch (thrown) {
    return Failure.from(thrown, `what ${lane.peer.name} is owed`);
  }
}

function outcomeFor(delivered: number, failure: Failure | undefined): Outcome {
  if (failure === undefined) return delivered === 0 ? Outcome.OUTCOME_UNCHANGED : Outcome.OUTCOME_DONE;
  return delivered === 0 ? Outcome.OUTCOME_FAILED : Outcome.OUTCOME_PARTLY;
}

async function statusOf(lane: Lane): Promise<LaneStatus> {
  const { problem, problemMayPass } = lane;
  const left = await lane.owed();
  return {
    name: lane.peer.name,
    owed: left.map((backup) => backup.name),
    problem: problem === undefined ? undefined : problemOf(problem),
    problemMayPass,
    nextTryAtMs: left.length === 0 ? 0 : lane.nextTryAt,
  };
}
