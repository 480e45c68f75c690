import type { Identity } from '../identity/identity.js';
import type { Address } from '../terms/address.js';
import type { Hostname } from '../terms/hostname.js';
import type { UploadLimit } from './upload-limit.js';

/** A configuration that was read and found right: every path absolute, every default filled in, every name parsed. */
export interface Config {
  /** Absolute path of the file it came from. */
  readonly file: string;
  /** The folder that relative paths of the configuration are relative to. */
  readonly base: string;
  readonly server: ServerConfig;
  readonly peers: readonly PeerConfig[];
  readonly backup: BackupConfig;
  readonly retention: { readonly local: KeepRules; readonly peers: KeepRules };
  readonly limits: LimitsConfig;
  readonly vpn: VpnConfig;
}

export interface ServerConfig {
  readonly name: Hostname;
  readonly listen: Address;
  /** The vault's folder. */
  readonly data: string;
  /** The folder of `config-backup.log`. */
  readonly logs: string;
  /** Path of the unix socket through which the client talks to its own node. */
  readonly socket: string;
}

export interface PeerConfig {
  readonly name: Hostname;
  readonly address: Address;
  /** Null only where `enabled` is false. */
  readonly identity: Identity | null;
  readonly enabled: boolean;
  /** Bytes that the peer may store here; 0 means no limit. */
  readonly quota: number;
  /** Owners, beside itself, whose backups this peer may list and fetch here. */
  readonly reads: readonly Hostname[];
}

export interface BackupConfig {
  /** A cron pattern, or null when backups are made on request only; not null without sets, for what is kept for peers. */
  readonly schedule: string | null;
  /** IANA name of the time zone of the schedule. */
  readonly timezone: string;
  /** Seconds; a scheduled run starts up to this much later, so that a mesh does not push in the same second. */
  readonly jitter: number;
  /** `incremental` skips a set that did not change and whose last backup every peer holds. */
  readonly mode: 'incremental' | 'always';
  readonly sets: readonly SetConfig[];
  readonly encryption: EncryptionConfig;
}

export interface SetConfig {
  readonly name: string;
  readonly source: SourceConfig;
  /** The source delivers ciphertext, which is kept as it is. */
  readonly sealed: boolean;
}

export type SourceConfig =
  | {
      readonly kind: 'paths';
      /** As written: relative ones are relative to `base`, and keep their relative name in the archive. */
      readonly paths: readonly string[];
      /** Patterns in the manner of .gitignore for names and paths to leave out. */
      readonly exclude: readonly string[];
    }
  | {
      readonly kind: 'url';
      readonly url: string;
      /** A file whose content is sent as the `Authorization` header. */
      readonly credentialsFile: string | null;
      /** Seconds without a byte before the export is given up. */
      readonly timeout: number;
    }
  | {
      readonly kind: 'command';
      readonly command: readonly [string, ...string[]];
      /** Seconds that the command may run. */
      readonly timeout: number;
    };

export type EncryptionConfig =
  | { readonly format: 'age'; readonly recipients: readonly string[] }
  | { readonly format: 'anemone-cbc1'; readonly passwordFile: string };

/** What to keep; a backup that any rule keeps stays. */
export interface KeepRules {
  readonly keepLast: number;
  readonly keepDaily: number;
  readonly keepWeekly: number;
  readonly keepMonthly: number;
  /** Days for which nothing is removed, whatever the other rules say. */
  readonly minimumDays: number;
}

export interface VpnConfig {
  /** Absolute paths of the files that the kit carries, sealed; null for where WireGuard keeps them. */
  readonly config: readonly string[] | null;
}

export interface LimitsConfig {
  readonly upload: UploadLimit;
  /** Bytes of disk that stay free: a peer's backup that would go below is refused. */
  readonly minimumFree: number;
}
