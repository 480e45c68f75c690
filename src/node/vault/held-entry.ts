import { createHash } from 'node:crypto';
import { HeldBackup, Manifest, Receipt, type SignedManifest } from '../../mesh/generated/anemone/backup/v1/backup.js';
import { type Identity, identityFromBytes } from '../../mesh/identity/identity.js';
import { type VerifiedManifest, verifyManifest } from '../../mesh/manifest/manifest.js';
import { parseBackupName } from '../../mesh/terms/backup-name.js';
import { Failure } from '../../mesh/terms/failure.js';
import type { Hostname } from '../../mesh/terms/hostname.js';

/** What is known in memory of a backup that is held; the rest is in its sidecar. */
export interface HeldEntry {
  readonly owner: Hostname;
  /** File name. */
  readonly name: string;
  readonly set: string;
  /** Whether this server is the owner. */
  readonly own: boolean;
  readonly sequence: number;
  /** By the owner's clock, milliseconds since 1970. */
  readonly createdAt: number;
  /** By this server's clock, milliseconds since 1970; null for own backups. */
  readonly receivedAt: number | null;
  /** Bytes. */
  readonly size: number;
  /** SHA-256 of the manifest's bytes. */
  readonly digest: Buffer;
  /** False where the owner is no peer any more, so that nothing says which identity to expect. */
  readonly verified: boolean;
}

/** Longest sidecar that is read or written, in bytes; an ordinary one has about 1,500. */
export const longestSidecar = 16_384;

/** Longest signed manifest that is taken: with a receipt it still fits into a sidecar. */
export const longestOffer = 8_192;

/** The entry of a backup whose manifest was verified just now. */
export function entryOf(manifest: VerifiedManifest, receivedAt: number | null): HeldEntry {
  return makeEntry(manifest.facts, manifest.digest, manifest.name.owner, receivedAt, true);
}

/**
 * Reads a sidecar.
 * @param expected.identity the owner's; null where it is not known, and then the signature is not checked
 * @throws Failure `damaged` or `untrusted`
 */
export function readSidecar(
  bytes: Uint8Array,
  expected: { readonly name: string; readonly own: boolean; readonly identity: Identity | null },
): { readonly entry: HeldEntry; readonly held: HeldBackup } {
  const held = decode(() => HeldBackup.decode(bytes));
  if (held.manifest === undefined) throw new Failure('damaged', 'it has no manifest');
  const { facts, digest } = readManifest(held.manifest, expected.identity);
  if (facts.name !== expected.name)
    throw new Failure('damaged', `its manifest is that of ${JSON.stringify(facts.name)}`);
  const receivedAt = expected.own ? null : receiptTime(held, digest);
  const { owner } = parseBackupName(facts.name);
  return { entry: makeEntry(facts, digest, owner, receivedAt, expected.identity !== null), held };
}

/** Whether a sidecar is whole, and signed by another identity than the one that its owner has in the configuration now. */
export function isOfAnotherIdentity(bytes: Uint8Array, name: string, identity: Identity): boolean {
  try {
    const { manifest } = HeldBackup.decode(bytes);
    if (manifest === undefined) return false;
    const claimed = identityFromBytes(Buffer.from(Manifest.decode(manifest.manifest).identity));
    return claimed !== identity && verifyManifest(manifest, claimed).facts.name === name;
  } catch {
    return false;
  }
}

function readManifest(signed: SignedManifest, identity: Identity | null): { facts: Manifest; digest: Buffer } {
  if (identity !== null) return verifyManifest(signed, identity);
  const facts = decode(() => Manifest.decode(signed.manifest));
  return { facts, digest: createHash('sha256').update(signed.manifest).digest() };
}

function receiptTime({ receipt }: HeldBackup, digest: Buffer): number {
  if (receipt === undefined) throw new Failure('damaged', 'it has no receipt');
  const { manifestDigest, receivedAtMs } = decode(() => Receipt.decode(receipt.receipt));
  if (!digest.equals(manifestDigest)) throw new Failure('damaged', 'its receipt is for another backup');
  return receivedAtMs;
}

function makeEntry(
  facts: Manifest,
  digest: Buffer,
  owner: Hostname,
  receivedAt: number | null,
  verified: boolean,
): HeldEntry {
  return {
    owner,
    name: facts.name,
    set: facts.set,
    own: receivedAt === null,
    sequence: facts.sequence,
    createdAt: facts.createdAtMs,
    receivedAt,
    size: facts.size,
    digest,
    verified,
  };
}

function decode<T>(read: () => T): T {
  try {
    return read();
  } catch (cause) {
    throw new Failure('damaged', 'it cannot be read', { cause });
  }
}
