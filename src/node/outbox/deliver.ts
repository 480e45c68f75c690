import type { SignedReceipt } from '../../mesh/generated/anemone/backup/v1/backup.js';
import { bulkPatience } from '../../mesh/peers/connection.js';
import type { Clock } from '../../mesh/terms/clock.js';
import { Failure } from '../../mesh/terms/failure.js';
import type { OwnBackup } from './owed.js';
import type { Holder, Receipts } from './receipts.js';

/** A peer to deliver to. */
export interface OutboxPeer extends Holder {
  /**
   * Brings it one backup, and resolves with its receipt once it holds it.
   * @param options.progress told the bytes of the backup that the peer has: first those that it had before, then with those
   *   sent so far; calling it again with the same number says that work goes on
   * @param options.waitHere waits for something of this server, such as its limit: for as long as it takes, nobody looks whether
   *   the peer takes anything
   * @throws Failure; `retryable` says whether the peer, rather than this backup, stands in the way for now
   */
  push(
    backup: OwnBackup,
    options: {
      readonly progress: (bytes: number) => void;
      readonly waitHere: <T>(wait: Promise<T>) => Promise<T>;
      readonly signal: AbortSignal;
    },
  ): Promise<SignedReceipt>;
}

export interface Delivery {
  readonly clock: Clock;
  readonly peer: OutboxPeer;
  readonly receipts: Receipts;
  readonly signal: AbortSignal;
  /** Those that are in the vault now: retention may have removed some since the round began. */
  ownBackups(): Promise<readonly OwnBackup[]>;
  /** Whether another round waits: it knows what is newest by then, and goes on. */
  isOverdue(): boolean;
  /** Told the bytes of a backup that the peer has: what it had before, first. */
  progress(backup: OwnBackup, bytes: number): void;
  /** Told when the peer's receipt for a backup is kept. */
  delivered(backup: OwnBackup): void;
  /** Told when a backup was not taken, also where it was broken off here. */
  failed(backup: OwnBackup, failure: Failure): void;
}

/** How a round ended. */
export interface RoundEnd {
  /** The failure to tell, if any: the one that ended the round, or else the first. */
  readonly failure: Failure | undefined;
  /** Whether something was left untried because another round waits. */
  readonly isCut: boolean;
}

/** Backups of one peer that may be on their way at once, and their bytes together. */
const atOnce = 8;
const bytesAtOnce = 4 * 2 ** 20;

/**
 * Brings a peer its backups, in this order. Small ones go side by side, because each costs two round trips and several
 * fsyncs; one that is large has the link to itself, and so has the first: a peer that is away is asked once. A failure that
 * is the backup's own (a conflict, a backup beyond the quota) does not stop the others; after one that may pass no other is
 * begun, because the peer would fail it too. One that was removed meanwhile is owed to nobody.
 */
export async function deliver(backups: readonly OwnBackup[], delivery: Delivery): Promise<RoundEnd> {
  const underWay = new Map<OwnBackup, Promise<void>>();
  let answered = false;
  let first: Failure | undefined;
  let ending: Failure | undefined;
  let isCut = false;
  const bring = async (backup: OwnBackup): Promise<void> => {
    try {
      const receipt = await attempt(backup, delivery);
      await delivery.receipts.keep(delivery.peer, backup, receipt);
      answered = true;
      delivery.delivered(backup);
    } catch (thrown) {
      const failure = told(Failure.from(thrown, `${backup.name} to ${delivery.peer.name}`), delivery.peer);
      if (delivery.signal.aborted || mayPass(failure)) ending ??= failure;
      else if ((await delivery.ownBackups()).some(({ name }) => name === backup.name)) first ??= failure;
      delivery.failed(backup, failure);
    } finally {
      underWay.delete(backup);
    }
  };
  for (const backup of backups) {
    while (underWay.size > 0 && !(answered && fits(backup, [...underWay.keys()])))
      await Promise.race(underWay.values());
    isCut = ending === undefined && backup !== backups[0] && delivery.isOverdue();
    if (ending !== undefined || isCut) break;
    underWay.set(backup, bring(backup));
  }
  await Promise.all(underWay.values());
  return { failure: ending ?? first, isCut };
}

function fits(next: OwnBackup, underWay: readonly OwnBackup[]): boolean {
  const bytes = underWay.reduce((sum, { size }) => sum + size, next.size);
  return underWay.length < atOnce && bytes <= bytesAtOnce;
}

/** Whether the same delivery may succeed later by itself: the peer is away, busy or shutting down. */
export function mayPass(failure: Failure): boolean {
  return failure.retryable || failure.kind === 'interrupted';
}

/**
 * Whether there was an answer, to which it makes no difference that the peer was seen. Two servers that refuse each other's
 * backups would kick each other with every offer.
 */
export function isRefusal(failure: Failure | undefined): boolean {
  if (failure === undefined) return false;
  // Where another server answers, the peer itself has said nothing.
  if (failure.kind === 'untrusted' && failure.retryable) return false;
  return !['unreachable', 'timeout', 'interrupted'].includes(failure.kind);
}

/** One backup, given up when no byte moves for too long, or when the signal aborts: even if the push hears neither. */
async function attempt(backup: OwnBackup, delivery: Delivery): Promise<SignedReceipt> {
  const { clock, peer, signal } = delivery;
  signal.throwIfAborted();
  const givenUp = new AbortController();
  let over = false;
  let cancelWatch = (): void => {};
  /** How many channels of it wait here. */
  let waits = 0;
  const watch = (): void => {
    cancelWatch();
    if (waits > 0 || over || givenUp.signal.aborted) return;
    cancelWatch = clock.after(bulkPatience, () => givenUp.abort(stalled(backup, peer)));
  };
  const progress = (bytes: number): void => {
    if (over || givenUp.signal.aborted) return;
    watch();
    delivery.progress(backup, bytes);
  };
  const waitHere = <T>(wait: Promise<T>): Promise<T> => {
    waits += 1;
    watch();
    return wait.finally(() => {
      waits -= 1;
      watch();
    });
  };
  const interrupt = (): void => givenUp.abort(signal.reason);
  signal.addEventListener('abort', interrupt, { once: true });
  watch();
  try {
    return await Promise.race([
      peer.push(backup, { progress, waitHere, signal: givenUp.signal }),
      new Promise<never>((_, reject) => {
        givenUp.signal.addEventListener('abort', () => reject(givenUp.signal.reason), { once: true });
      }),
    ]);
  } finally {
    over = true;
    cancelWatch();
    signal.removeEventListener('abort', interrupt);
  }
}

function stalled(backup: OwnBackup, peer: Holder): Failure {
  return new Failure('timeout', `${peer.name} took no byte of ${backup.name} for ${bulkPatience / 1000} seconds`);
}

/** Where small packets pass and large ones are lost, a peer answers everything and takes no backup, so nobody looks there. */
function told(failure: Failure, { name }: Holder): Failure {
  const { kind, message, cause, retryable, hint } = failure;
  if (kind !== 'timeout' || hint !== undefined) return failure;
  const link = `Look at the link to ${name}; where it answers and still takes no backup, set a smaller MTU for the VPN, such as 1280.`;
  return new Failure(kind, message, { cause, retryable, hint: `${link} The delivery is tried again by itself.` });
}
