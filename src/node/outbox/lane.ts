import type { VerifiedManifest } from '../../mesh/manifest/manifest.js';
import type { Clock } from '../../mesh/terms/clock.js';
import { Failure } from '../../mesh/terms/failure.js';
import type { Log } from '../../mesh/terms/log.js';
import { backoff, longestWait } from './backoff.js';
import { deliver, mayPass, type Recipient } from './deliver.js';
import { owed } from './owed.js';
import type { Holder, Receipts } from './receipts.js';

/** A peer to deliver to. */
export interface OutboxPeer extends Holder {
  readonly recipient: Recipient;
}

/** What a whole outbox needs, whoever its peers are. */
export interface OutboxParts {
  readonly clock: Clock;
  readonly log: Log;
  readonly receipts: Receipts;
  /** The server's own backups that are in its vault now. */
  ownBackups(): Promise<readonly VerifiedManifest[]>;
  /** Milliseconds without progress after which a delivery is given up for now. */
  readonly patience: number;
}

/** Is told what a lane does while it listens. */
export interface LaneListener {
  progress(backup: VerifiedManifest, bytes: number): void;
  delivered(backup: VerifiedManifest): void;
}

/** The loop that keeps one peer served. */
export interface Lane {
  readonly peer: OutboxPeer;
  /** Tries soon, because the peer was seen: at once, or a little after the last try. */
  kick(): void;
  /** Tries now. Resolves when everything that was owed has been tried once; to the failure that remains, if any. */
  tryNow(listener: LaneListener, signal: AbortSignal): Promise<Failure | undefined>;
  owed(): Promise<VerifiedManifest[]>;
  problem(): Failure | undefined;
  /** Milliseconds since 1970; 0 when no try is planned. */
  nextTryAt(): number;
  stop(): Promise<void>;
}

/** A peer that calls often is not tried more often than this, in milliseconds. */
const kickGap = 10_000;

/** Starts with a try at once: what is owed follows from what is on disk, so a restart forgets nothing. */
export function startLane(peer: OutboxPeer, parts: OutboxParts): Lane {
  const { clock, log, receipts } = parts;
  const stopping = new AbortController();
  const listeners = new Set<LaneListener>();
  let turn: Promise<unknown> = Promise.resolve();
  let busy = 0;
  let kicked = false;
  let failures = 0;
  let problem: Failure | undefined;
  let lastTry = Number.NEGATIVE_INFINITY;
  let dueAt: number | null = null;
  let cancelTimer = (): void => {};

  const stillOwed = async (): Promise<VerifiedManifest[]> => {
    const backups = await parts.ownBackups();
    return owed(backups, await receipts.held(peer, backups));
  };

  const plan = (wait: number): void => {
    cancelTimer();
    if (stopping.signal.aborted) return;
    dueAt = clock.monotonic() + wait;
    cancelTimer = clock.after(wait, () => void inTurn(stopping.signal));
  };

  const round = async (signal: AbortSignal): Promise<Failure | undefined> => {
    cancelTimer();
    dueAt = null;
    kicked = false;
    let moved = false;
    const failure = await attemptAll(signal, () => {
      moved = true;
    });
    lastTry = clock.monotonic();
    if (signal.aborted) {
      plan(kickGap);
      return failure;
    }
    failures = (moved ? 0 : failures) + (failure === undefined ? 0 : 1);
    if (failure !== undefined && failure.message !== problem?.message) {
      log.warn('delivery failed', { peer: peer.name, kind: failure.kind, reason: failure.message });
    }
    problem = failure;
    if (kicked) plan(kickGap);
    else if (failure !== undefined) plan(mayPass(failure) ? backoff(failures, peer.name) : longestWait);
    return failure;
  };

  const attemptAll = async (signal: AbortSignal, moved: () => void): Promise<Failure | undefined> => {
    try {
      return await deliver(await stillOwed(), {
        clock,
        peer,
        recipient: peer.recipient,
        receipts,
        signal,
        patience: parts.patience,
        progress: (backup, bytes) => {
          for (const listener of listeners) listener.progress(backup, bytes);
        },
        delivered: (backup) => {
          moved();
          log.info('backup delivered', { peer: peer.name, backup: backup.facts.name, size: backup.facts.size });
          for (const listener of listeners) listener.delivered(backup);
        },
      });
    } catch (thrown) {
      return Failure.from(thrown, `what ${peer.name} is owed`);
    }
  };

  const inTurn = (signal: AbortSignal): Promise<Failure | undefined> => {
    busy += 1;
    const mine = turn
      .then(() => round(signal))
      .finally(() => {
        busy -= 1;
      });
    turn = mine;
    return mine;
  };

  void inTurn(stopping.signal);
  return {
    peer,
    kick() {
      kicked = true;
      if (busy > 0) return;
      const wait = Math.max(0, lastTry + kickGap - clock.monotonic());
      if (dueAt === null || dueAt > clock.monotonic() + wait) plan(wait);
    },
    async tryNow(listener, signal) {
      const either = AbortSignal.any([signal, stopping.signal]);
      listeners.add(listener);
      try {
        return await Promise.race([inTurn(either), interruption(either)]);
      } finally {
        listeners.delete(listener);
      }
    },
    owed: stillOwed,
    problem: () => problem,
    nextTryAt: () => (dueAt === null ? 0 : Math.round(clock.now() + dueAt - clock.monotonic())),
    async stop() {
      stopping.abort();
      cancelTimer();
      await turn;
    },
  };
}

/** Resolves when the signal aborts, so that nobody waits for a turn that is no longer wanted. */
function interruption(signal: AbortSignal): Promise<Failure> {
  const failure = new Failure('interrupted', 'the delivery was interrupted');
  return new Promise((resolve) => {
    if (signal.aborted) resolve(failure);
    else signal.addEventListener('abort', () => resolve(failure), { once: true });
  });
}
