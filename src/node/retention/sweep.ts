import type { KeepRules } from '../../mesh/config/config.js';
import type { Identity } from '../../mesh/identity/identity.js';
import type { Clock } from '../../mesh/terms/clock.js';
import { Failure } from '../../mesh/terms/failure.js';
import type { Hostname } from '../../mesh/terms/hostname.js';
import { expire, groupsOf, type Verdict } from './expire.js';
import { type PastRun, strangeTime } from './strange-time.js';

/** What a sweep has to know of a backup. */
export interface SweptBackup {
  readonly owner: Hostname;
  readonly name: string;
  readonly set: string;
  readonly own: boolean;
  readonly sequence: number;
  /** By the owner's clock, milliseconds since 1970. */
  readonly createdAt: number;
  /** By this server's clock; null for own backups. */
  readonly receivedAt: number | null;
  /** The owner's, which its manifest names; null where nothing says which to expect. */
  readonly identity: Identity | null;
}

/** What a sweep has to be able to do to a vault. */
export interface SweptVault {
  /** Proves what the list says of an owner's backups, and takes damaged ones off it. */
  prove(owner: Hostname): Promise<void>;
  list(): readonly SweptBackup[];
  remove(name: string): Promise<void>;
  tidy(): Promise<void>;
}

export interface SweepOptions {
  readonly vault: SweptVault;
  readonly rules: { readonly local: KeepRules; readonly peers: KeepRules };
  /**
   * Who an owner is now; null for one that is no peer (any more). What another identity signed under its name stays until a person
   * removes it.
   */
  identityOf(owner: Hostname): Identity | null;
  readonly clock: Clock;
  /** What past runs told, oldest first, and whether there were some that are lost: by them the clock is judged. */
  readonly history: {
    reports(): Promise<readonly PastRun[]>;
    isCut(): Promise<boolean>;
  };
  readonly timezone?: string;
  /** Whether an own backup is on its way to a peer: it stays until it has arrived, or is given up. @param name its file name */
  isHalfway?(name: string): boolean;
  /** Removes what peers acknowledged of backups that do not exist here any more. */
  pruneReceipts?(): Promise<void>;
}

export interface SweepResult {
  /** File names of the backups that were removed. */
  readonly removed: readonly string[];
  readonly failures: readonly Failure[];
}

/**
 * Removes what the rules do not keep: own backups by the time of their manifest, peers' by this server's clock of receipt,
 * which nobody else can set; but no own one of which a peer has a part: it would never have one whole that takes longer to arrive
 * than the rules keep it here. Nothing is removed in favour of a backup whose manifest was not proven before. One that cannot
 * be removed stops no other, and one that cannot be proven stops those of its owner only.
 * @throws Failure when the clock is in doubt, or the history cannot be read: nothing is removed then
 */
export async function sweep({
  vault,
  rules,
  identityOf,
  clock,
  history,
  timezone,
  isHalfway = () => false,
  pruneReceipts,
}: SweepOptions): Promise<SweepResult> {
  const now = clock.now();
  const strange = strangeTime(now, await history.reports(), await history.isCut());
  if (strange !== null) throw strange;
  const removed: string[] = [];
  const failures: Failure[] = [];
  const attempt = async (context: string, work: () => Promise<void>): Promise<boolean> => {
    try {
      await work();
      return true;
    } catch (thrown) {
      failures.push(Failure.from(thrown).within(context));
      return false;
    }
  };
  for (const owner of new Set(vault.list().map((backup) => backup.owner))) {
    const unproven = `the manifests of ${owner} could not be proven, so nothing of it is removed`;
    if (!(await attempt(unproven, () => vault.prove(owner)))) continue;
    const backups = vault.list().filter((backup) => backup.owner === owner);
    const judged = judge(backups, { rules, identityOf, now, timezone });
    for (const { name } of judged.flatMap(({ verdict }) => verdict.remove)) {
      if (isHalfway(name)) continue;
      if (await attempt(`${name} could not be removed`, () => vault.remove(name))) removed.push(name);
    }
  }
  await attempt('unfinished uploads could not be removed', () => vault.tidy());
  await attempt('the receipts of removed backups could not be removed', async () => pruneReceipts?.());
  return { removed, failures };
}

/** What becomes of the backups of one owner and set. */
export interface Judgement<T> {
  readonly backups: readonly T[];
  /** Says nothing of what no peer of this server signed. */
  readonly verdict: Verdict;
}

export interface JudgeOptions extends Pick<SweepOptions, 'rules' | 'identityOf'> {
  readonly timezone: string | undefined;
  /** Milliseconds since 1970. */
  readonly now: number;
}

/** Decides about every backup, and removes none. */
export function judge<T extends SweptBackup>(backups: readonly T[], options: JudgeOptions): Judgement<T>[] {
  const { rules, identityOf, now, timezone } = options;
  return groupsOf(backups, ({ owner, set }) => `${owner}/${set}`).map((stream) => {
    const [first] = stream;
    const owner = first === undefined ? null : identityOf(first.owner);
    const swept = stream.filter(({ identity }) => identity !== null && identity === owner);
    const dated = swept.map(({ receivedAt, ...backup }) => ({ ...backup, time: receivedAt ?? backup.createdAt }));
    return { backups: stream, verdict: expire(dated, first?.own ? rules.local : rules.peers, now, timezone) };
  });
}
