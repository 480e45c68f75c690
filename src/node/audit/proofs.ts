import type { Clock } from '../../mesh/terms/clock.js';
import type { Failure } from '../../mesh/terms/failure.js';
import type { OwnBackup } from '../outbox/owed.js';
import type { Holder } from '../outbox/receipts.js';
import type { Minimum } from './audited-peer.js';
import type { Times } from './times.js';

/** Milliseconds without a proof after which excuses of a peer are a problem: a week, as nights are not a day apart exactly. */
const longestExcuse = 6.5 * 86_400_000;

/**
 * What peers were asked to prove, what they have proved, and for how long they have not. It counts for the identity that a
 * peer has now: what a former one proved, another server may never have held.
 */
export interface Proofs {
  /** When a peer was last asked to prove a backup, milliseconds since 1970; 0 for never. */
  askedAt(peer: Holder, backup: OwnBackup): number;
  /** A peer is asked to prove a backup, whatever it answers: the next night is the turn of others. */
  asked(peer: Holder, backup: OwnBackup): void;
  /** A peer does not hold a backup any more. @param receivedAt the time in its receipt for it, by which another one is told */
  gone(peer: Holder, backup: OwnBackup, receivedAt: number): void;
  /** That time, of a backup that the peer was found not to hold any more; undefined where that was not found. */
  goneReceipt(peer: Holder, backup: OwnBackup): number | undefined;
  /**
   * A peer says for how many days it removes nothing.
   * @returns since when it has been saying at least that, by its own clock: what came before, its former rules may have removed
   */
  saidSince(peer: Holder, minimum: Minimum): number;
  /** A peer has proved the newest backup of a set that it acknowledged. */
  proven(peer: Holder, set: string): void;
  /** A peer has something of a set to prove: from now on it owes a proof, unless it did before. */
  expect(peer: Holder, set: string): void;
  /**
   * The sets among these backups of which a peer owes a proof for a week. The newest backup itself may be of today: where a set
   * changes every night, it always is.
   */
  overdue(peer: Holder, backups: readonly OwnBackup[]): string[];
  /**
   * When a peer last proved what it holds of these backups, milliseconds since 1970: the newest of that set which it proved
   * longest ago; 0 where it never proved one of the sets.
   */
  lastOf(peer: Holder, backups: readonly OwnBackup[]): number;
  /**
   * Writes the file; what is not about these is forgotten.
   * @param there null where the node cannot read all that it has: of that nothing is forgotten
   * @returns why it could not be written, or null
   */
  save(
    there: { readonly peers: readonly Holder[]; readonly backups: readonly OwnBackup[] } | null,
  ): Promise<Failure | null>;
}

/** @param times kept as `<data>/.state/proofs.json` */
export function openProofs(times: Times, clock: Clock): Proofs {
  /** A time that is yet to come is of a clock that was wrong, and counts as never. */
  const past = (key: string): number => {
    const time = times.get(key) ?? 0;
    return time > clock.now() ? 0 : time;
  };
  const owing = (peer: Holder, backups: readonly OwnBackup[]): string[] => {
    return setsOf(backups).filter((set) => times.get(owedSince(peer, set)) !== undefined);
  };
  return {
    askedAt: (peer, { name }) => past(keyOf(peer, name)),
    asked: (peer, { name }) => times.set(keyOf(peer, name), clock.now()),
    gone: (peer, { name }, receivedAt) => times.set(`${keyOf(peer, name)} gone`, receivedAt),
    goneReceipt: (peer, { name }) => times.get(`${keyOf(peer, name)} gone`),
    saidSince(peer, { days, saidAt }) {
      const [ofDays, ofSince] = [`${keyOf(peer, '')} keeps days`, `${keyOf(peer, '')} keeps since`];
      if (days > (times.get(ofDays) ?? 0) || (times.get(ofSince) ?? 0) > saidAt) times.set(ofSince, saidAt);
      times.set(ofDays, days);
      return times.get(ofSince) ?? saidAt;
    },
    proven(peer, set) {
      times.set(keyOf(peer, set), clock.now());
      times.set(owedSince(peer, set), clock.now());
    },
    expect(peer, set) {
      if (past(owedSince(peer, set)) === 0) times.set(owedSince(peer, set), clock.now());
    },
    overdue: (peer, backups) =>
      owing(peer, backups).filter((set) => clock.now() - past(owedSince(peer, set)) > longestExcuse),
    lastOf(peer, backups) {
      const asked = owing(peer, backups);
      return asked.length === 0 ? 0 : Math.min(...asked.map((set) => past(keyOf(peer, set))));
    },
    save(there) {
      if (there === null) return times.save(() => true);
      const subjects = ['', ...there.backups.map(({ name }) => name), ...setsOf(there.backups)];
      const known = new Set(there.peers.flatMap((peer) => subjects.map((subject) => keyOf(peer, subject))));
      return times.save((key) => known.has(key.replace(/ .*/, '')));
    },
  };
}

function setsOf(backups: readonly OwnBackup[]): string[] {
  return [...new Set(backups.map(({ set }) => set))];
}

/** @param subject a backup, or a set, which no backup is called like; empty for the peer itself */
function keyOf({ name, identity }: Holder, subject: string): string {
  return `${name}/${identity}/${subject}`;
}

/** When the peer last proved the newest backup of the set, or when its first proof was expected. */
function owedSince(peer: Holder, set: string): string {
  return `${keyOf(peer, set)} owed since`;
}
