import type { Manifest } from '../../mesh/generated/anemone/backup/v1/backup.js';
import type { Problem } from '../../mesh/generated/anemone/node/v1/node.js';
import type { MinimumDays } from '../../mesh/generated/anemone/peer/v1/peer.js';
import type { VerifiedManifest } from '../../mesh/manifest/manifest.js';
import type { BackupName } from '../../mesh/terms/backup-name.js';
import type { Failure } from '../../mesh/terms/failure.js';
import type { Holder } from './holders.js';

/**
 * What one holder said when it was asked. Its entries were examined when they came; one of which nothing can be displayed is
 * words that follow "shows".
 */
export type Answer = Held | { readonly holder: Holder; readonly failure: Failure };

/** The answer of a holder that gave one. */
export interface Held {
  readonly holder: Holder;
  readonly held: readonly (Shown | string)[];
  /** For how many days its retention removes nothing, as it says; version 0.1.0 says nothing. */
  readonly minimumDays?: MinimumDays | undefined;
}

/** One entry of an answer: a backup, and what its holder says of its copy. */
export interface Shown {
  readonly backup: Examined;
  readonly copy: Copy;
}

/** One holder's copy of a backup. */
export interface Copy {
  readonly holder: Holder;
  /** By the holder's clock, in milliseconds since 1970; null where no receipt says it. */
  readonly receivedAt: number | null;
  /** Why its receipt is not believed; null when it is, and on the owner's own server, which gives none. */
  readonly doubt: string | null;
}

/** One backup, told apart by its manifest's digest. */
export interface Examined {
  readonly name: BackupName;
  /** What the manifest says: believed only where the standing is `verified`. */
  readonly facts: Manifest;
  /** SHA-256 of the manifest's bytes. */
  readonly digest: Buffer;
  readonly standing: Standing;
}

/** One backup, with everyone who says that it is held there. */
export interface FoundBackup extends Examined {
  readonly copies: readonly Copy[];
}

/** Whether a backup's manifest is believed. `unknown-owner`: nothing here says who its owner must be. */
export type Standing =
  | { readonly kind: 'verified'; readonly manifest: VerifiedManifest }
  | { readonly kind: 'unknown-owner'; readonly reason: string }
  | { readonly kind: 'forged'; readonly reason: string };

/** A backup that may be fetched: its manifest is proven, and somebody says that it is held there. */
export interface Candidate {
  readonly manifest: VerifiedManifest;
  readonly copies: readonly Copy[];
}

/** The backups whose manifest is proven, in the order given. */
export function candidatesOf(backups: readonly FoundBackup[]): Candidate[] {
  return backups.flatMap(({ standing, copies }) =>
    standing.kind === 'verified' ? [{ manifest: standing.manifest, copies }] : [],
  );
}

/** Something about a peer's answer that a person should know. */
export interface Finding {
  /** The holder's hostname. */
  readonly peer: string;
  /** Whose backups it is about; null when nothing says that. */
  readonly owner: string | null;
  /**
   * `forged`: an entry that proves nothing. `conflict`: two backups where there can be one. `behind`, `gap`: not shown. `owed`: not
   * brought yet, which is nobody's lie.
   */
  readonly kind: 'forged' | 'conflict' | 'behind' | 'gap' | 'owed';
  readonly message: string;
}

/** What the node of this server still owes its peers, by their hostnames: names of backups, and why the last delivery failed. */
export type Owed = ReadonlyMap<
  string,
  { readonly backups: ReadonlySet<string>; readonly problem?: Problem | undefined }
>;

/** What the whole mesh answered. */
export interface Survey {
  readonly answers: readonly Answer[];
  /** Newest first. */
  readonly backups: readonly FoundBackup[];
  readonly findings: readonly Finding[];
}
