import type { KeepRules } from '../../mesh/config/config.js';
import type { Clock } from '../../mesh/terms/clock.js';
import { Failure } from '../../mesh/terms/failure.js';
import type { Hostname } from '../../mesh/terms/hostname.js';
import { expire } from './expire.js';

/** What a sweep has to know of a backup. */
export interface SweptBackup {
  readonly owner: Hostname;
  readonly name: string;
  readonly set: string;
  readonly own: boolean;
  /** By the owner's clock, milliseconds since 1970. */
  readonly createdAt: number;
  /** By this server's clock; null for own backups. */
  readonly receivedAt: number | null;
  /** Whether its manifest was checked against its owner's identity. */
  readonly verified: boolean;
}

/** What a sweep has to be able to do to a vault. */
export interface SweptVault {
  list(): readonly SweptBackup[];
  remove(name: string): Promise<void>;
  tidy(): Promise<void>;
}

export interface SweepOptions {
  readonly vault: SweptVault;
  readonly rules: { readonly local: KeepRules; readonly peers: KeepRules };
  /** Whether this server is a peer. Backups of one that is not (any more) stay until a person removes them. */
  isPeer(owner: Hostname): boolean;
  readonly clock: Clock;
  readonly timezone?: string;
}

export interface SweepResult {
  /** File names of the backups that were removed. */
  readonly removed: readonly string[];
  readonly failures: readonly Failure[];
}

/**
 * Removes what the rules do not keep: own backups by the time of their manifest, peers' by this server's clock of receipt,
 * which nobody else can set. A backup that cannot be removed stops no other. Never throws.
 */
export async function sweep({ vault, rules, isPeer, clock, timezone }: SweepOptions): Promise<SweepResult> {
  const removed: string[] = [];
  const failures: Failure[] = [];
  const attempt = async (context: string, work: () => Promise<void>): Promise<boolean> => {
    try {
      await work();
      return true;
    } catch (thrown) {
      failures.push(Failure.from(thrown, context));
      return false;
    }
  };
  const swept = vault.list().filter(({ own, owner, verified }) => verified && (own || isPeer(owner)));
  for (const stream of groups(swept)) {
    const dated = stream.map(({ name, receivedAt, createdAt }) => ({ name, time: receivedAt ?? createdAt }));
    const kept = stream[0]?.own ? rules.local : rules.peers;
    for (const { name } of expire(dated, kept, clock.now(), timezone).remove) {
      if (await attempt(`${name} could not be removed`, () => vault.remove(name))) removed.push(name);
    }
  }
  await attempt('unfinished uploads could not be removed', () => vault.tidy());
  return { removed, failures };
}

/** The backups of each owner and set. */
function groups(backups: readonly SweptBackup[]): Iterable<readonly SweptBackup[]> {
  const streams = new Map<string, SweptBackup[]>();
  for (const backup of backups) {
    const key = `${backup.owner}/${backup.set}`;
    const stream = streams.get(key);
    if (stream === undefined) streams.set(key, [backup]);
    else stream.push(backup);
  }
  return streams.values();
}
