import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { type BackupName, parseBackupName } from '../../mesh/terms/backup-name.js';
import type { Hostname } from '../../mesh/terms/hostname.js';

/** The two files of a backup: it is held exactly when `data` is there. */
export interface BackupFiles {
  /** The owner's folder. */
  readonly folder: string;
  readonly data: string;
  /** A serialised `HeldBackup`: the signed manifest, and the receipt where the owner is another server. */
  readonly sidecar: string;
}

/** The files of a backup that is still arriving. */
export interface UploadFiles {
  /** The signed manifest as it was offered. */
  readonly offer: string;
  /** The bytes that arrived, each at its place. */
  readonly part: string;
  /** The hash of each leaf that arrived, 32 bytes at 32 times its index; zeros where it did not. */
  readonly leaves: string;
}

/** Where everything of a node is, under its data folder. Paths only: nothing here touches the disk. */
export interface Layout {
  readonly data: string;
  /** The server's own backups. */
  readonly local: string;
  /** Uploads and temporaries; in the same file system as the backups, so that a finished file can be linked into place. */
  readonly incoming: string;
  readonly quarantine: string;
  /** The node's private files: keys, receipts, history. */
  readonly state: string;
  readonly runs: string;
  /** Hashes of the leaves of what is held, a file a backup; derived, and made again when they are missing. */
  readonly leaves: string;
  /** What an owner's folder held when it was written down; derived, and read again when it is missing. */
  factsOf(owner: Hostname): string;
  /** @param digest of the manifest */
  leavesOf(digest: Uint8Array): string;
  folderOf(owner: Hostname): string;
  /** @param name of its file */
  backup(name: string): BackupFiles;
  /** @param digest of the manifest */
  upload(digest: Uint8Array): UploadFiles;
  /** A path that no file has, another one each time. What lies at one when a process starts, an earlier one has left. */
  temporary(): string;
  /** Where a file goes that is not to be believed. @param label what makes the path unlike any other */
  quarantined(label: string): string;
}

const sidecarEnding = '.manifest';
const offerEnding = '.offer';
const settledEnding = '.settled';
const temporaryEnding = '.tmp';

/**
 * @param data absolute path of the data folder
 * @param host the server whose own backups are in `local/`
 */
export function layoutOf(data: string, host: Hostname): Layout {
  const local = join(data, 'local');
  const incoming = join(data, '.incoming');
  const quarantine = join(data, '.quarantine');
  const state = join(data, '.state');
  const folderOf = (owner: Hostname): string => (owner === host ? local : join(data, owner));
  return {
    data,
    local,
    incoming,
    quarantine,
    state,
    runs: join(state, 'runs.jsonl'),
    leaves: join(state, 'leaves'),
    factsOf: (owner) => join(state, 'facts', owner),
    leavesOf: (digest) => join(state, 'leaves', Buffer.from(digest).toString('hex')),
    folderOf,
    backup(name) {
      const folder = folderOf(parseBackupName(name).owner);
      const data = join(folder, name);
      return { folder, data, sidecar: sidecarOf(data) };
    },
    upload(digest) {
      const stem = join(incoming, Buffer.from(digest).toString('hex'));
      return { offer: `${stem}${offerEnding}`, part: `${stem}.part`, leaves: `${stem}.leaves` };
    },
    temporary: () => join(incoming, `${randomBytes(12).toString('hex')}${temporaryEnding}`),
    quarantined: (label) => join(quarantine, label),
  };
}

/** The sidecar of a data file; takes a path or a bare file name. */
export function sidecarOf(data: string): string {
  return data + sidecarEnding;
}

/** What a file in the quarantine is renamed to when its backup is not missed any more. */
export function settledName(file: string): string {
  return file + settledEnding;
}

/** The name that a file in the quarantine had before it was settled, or null when it is not. */
export function nameBeforeSettled(file: string): string | null {
  return file.endsWith(settledEnding) ? file.slice(0, -settledEnding.length) : null;
}

/** The data file of a sidecar, or null when the file is no sidecar. */
export function dataOfSidecar(file: string): string | null {
  return file.endsWith(sidecarEnding) ? file.slice(0, -sidecarEnding.length) : null;
}

/** The manifest's digest that an offer's file name spells, or null when the file is no offer. */
export function digestOfOffer(file: string): Buffer | null {
  return /^[0-9a-f]{64}\.offer$/.test(file) ? Buffer.from(file.slice(0, -offerEnding.length), 'hex') : null;
}

/** The digest of the manifest, in hexadecimal, that the name of a file of an upload spells; that of another spells none. */
export function uploadOf(file: string): string {
  return file.replace(/\.[a-z]+$/, '');
}

/** Whether a file is a temporary one, and of no upload. */
export function isTemporary(file: string): boolean {
  return file.endsWith(temporaryEnding);
}

/** When a file was put into quarantine, as its name says, in milliseconds since 1970; 0 for a file that is not there. */
export function quarantinedAt(file: string): number {
  return Number(/^(\d+)-/.exec(file)?.[1] ?? 0);
}

/** The backup whose data file a name in the quarantine spells, or null when it is none, or one that is settled. */
export function backupInQuarantine(file: string): BackupName | null {
  try {
    return parseBackupName(/^\d+-(.+)$/.exec(file)?.[1] ?? '');
  } catch {
    return null;
  }
}
