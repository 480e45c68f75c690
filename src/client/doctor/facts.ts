import type { Config } from '../../mesh/config/config.js';
import type { GetStatusResponse } from '../../mesh/generated/anemone/node/v1/node.js';
import type { NodeCertificate } from '../../mesh/identity/node-certificate.js';
import type { Kit } from '../../mesh/kit/kit.js';
import type { Failure } from '../../mesh/terms/failure.js';
import type { LastDrill } from '../render/drill.js';
import type { Part } from '../restore/download/parts.js';
import type { NodeAnswer } from '../session/ask-peers.js';

/** Everything that the checks look at, gathered once. Times are milliseconds since 1970, sizes bytes. */
export interface DoctorFacts {
  readonly now: number;
  /** Of this program. */
  readonly version: string;
  /** Such as `20.20.2`. */
  readonly nodeVersion: string;
  readonly config: Config;
  /** What is right in the configuration, but old or surprising. */
  readonly hints: readonly string[];
  readonly keys: KeyFacts;
  /** What another user has of what the node has to use; null where this user may not look. */
  readonly foreign: ForeignFiles | null;
  /** The public age key that the recovery key of this server opens, and the file that says so; null where it is not known. */
  readonly ownRecipient: { readonly key: string; readonly file: string } | null;
  /** A last run that began before this moment is too long ago. */
  readonly overdue: number;
  /** Free on the disk of the vault; null when it cannot be asked. */
  readonly free: number | null;
  readonly node: GetStatusResponse | { readonly failure: Failure };
  /** Those that were asked: none where this server cannot prove who it is. */
  readonly peers: readonly PeerFacts[];
  /** The servers that showed their lists. */
  readonly listed: readonly string[];
  /** File names of this server's backups, kits too, that anyone of them holds. */
  readonly held: ReadonlySet<string>;
  /** The newest backup of each set, kits left out, over everyone who answered. */
  readonly newest: readonly NewestBackup[];
  /** Null where this server cannot prove who it is, so that no kit can be its own. */
  readonly kit: KitFacts | null;
  readonly tcp: TcpFacts | null;
  /** What restores that were not finished have left. */
  readonly parts: readonly Part[];
  /** Folders into which restores unpacked that were cut off, or are under way. */
  readonly staging: readonly string[];
  /** The last time that a recovery was proven. */
  readonly drill: LastDrill;
}

export interface KeyFacts {
  /** Of its node key, or why this server cannot prove who it is. */
  readonly certificate: NodeCertificate | Failure;
  /** Whether that is because the key is for another user, that of the node, who may well prove it. */
  readonly isOfAnother: boolean;
  /** Why nobody knows which node keys of peers are superseded; null where that is known, or may not be asked. */
  readonly seenKeys: Failure | null;
  /** User id of the node's user, to whom the state folder belongs; null when there is none. */
  readonly user: number | null;
  /** What is for the node's user only. */
  readonly files: readonly KeyFile[];
}

export interface KeyFile {
  readonly path: string;
  readonly mode: number;
  /** User id. */
  readonly owner: number;
  /** `state` is the folder of the node's private files. */
  readonly holds: 'state' | 'node key' | 'password' | 'credentials';
}

export interface ForeignFiles {
  /** User and group ids of the node. */
  readonly uid: number;
  readonly gid: number;
  readonly paths: readonly string[];
  /** The configuration, and what of the data folder the paths are in. */
  readonly places: readonly string[];
}

export interface PeerFacts {
  readonly name: string;
  readonly answer: NodeAnswer;
}

export interface NewestBackup {
  readonly set: string;
  readonly name: string;
  readonly size: number;
  readonly createdAt: number;
  /** Peers that proved by a receipt that they hold it. */
  readonly holders: readonly string[];
}

export interface KitFacts {
  readonly path: string;
  /** What the file says; null when there is none; a Failure when it is no kit. */
  readonly found: Kit | Failure | null;
  /** When the file was written. */
  readonly writtenAt: number;
  /** What the configuration says now. */
  readonly expected: Omit<Kit, 'vpn'>;
  /** The VPN files that a kit would hold now, with when they changed last. */
  readonly vpn: readonly { readonly path: string; readonly changedAt: number }[];
  readonly missing: readonly { readonly path: string; readonly reason: string }[];
}

/** What Linux counted since it started. */
export interface TcpFacts {
  /** Such as `cubic` or `bbr`. */
  readonly congestion: string;
  /** Whether this kernel has BBR, loaded or not. */
  readonly hasBbr: boolean;
  readonly sent: number;
  readonly resent: number;
}
