import type { HeldBackup, SignedReceipt } from '../../mesh/generated/anemone/backup/v1/backup.js';
import type { Range } from '../../mesh/generated/anemone/peer/v1/peer.js';
import type { VerifiedManifest } from '../../mesh/manifest/manifest.js';
import type { Bytes } from '../../mesh/terms/bytes.js';
import type { Hostname } from '../../mesh/terms/hostname.js';

/** What the service needs of the vault. */
export interface Keeper {
  offer(
    owner: Hostname,
    manifest: VerifiedManifest,
  ): Promise<{ readonly held: SignedReceipt } | { readonly missing: readonly Range[] }>;
  receive(owner: Hostname, manifestDigest: Uint8Array, range: Range): Promise<Receiving>;
  list(filter: { readonly owner?: Hostname; readonly set?: string }): readonly KeptBackup[];
  find(name: string): KeptBackup | null;
  /** What is stored beside the backup; null when it went in the meantime. */
  sidecar(name: string): Promise<HeldBackup | null>;
  read(name: string, offset: number, length: number): Bytes;
  used(owner: Hostname): number;
  /** Bytes free on the vault's disk. */
  free(): Promise<number>;
}

/** One range of an upload on its way to the disk. */
export interface Receiving {
  write(chunk: Uint8Array): Promise<void>;
  finish(): Promise<{ readonly receipt: SignedReceipt } | { readonly missing: readonly Range[] }>;
  /** What arrived stays for the next offer. */
  abort(): Promise<void>;
}

export interface KeptBackup {
  /** File name. */
  readonly name: string;
  readonly owner: Hostname;
  readonly size: number;
}
