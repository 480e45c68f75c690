import { HeldBackup, Manifest, Receipt, type SignedManifest } from '../../mesh/generated/anemone/backup/v1/backup.js';
import { type Identity, identityFromBytes } from '../../mesh/identity/identity.js';
import { manifestDigest, readManifest, type VerifiedManifest, verifyManifest } from '../../mesh/manifest/manifest.js';
import { namedHolder, verifyReceipt } from '../../mesh/manifest/receipt.js';
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
  /** The owner's, which its manifest names; null where the owner is no peer any more, so that nothing says which to expect. */
  readonly identity: Identity | null;
}

/** Longest sidecar that is read or written, in bytes; an ordinary one has about 1,500. */
export const longestSidecar = 16_384;

/** Longest signed manifest that is taken: with a receipt it still fits into a sidecar. */
export const longestOffer = 8_192;

/** The entry of a backup whose manifest was verified just now. */
export function entryOf(manifest: VerifiedManifest, receivedAt: number | null): HeldEntry {
  const identity = identityFromBytes(manifest.facts.identity);
  return makeEntry(manifest.facts, manifest.digest, manifest.name.owner, receivedAt, identity);
}

/** What stands beside a backup. Without the manifest there is none. */
export type Sidecar = HeldBackup & { readonly manifest: SignedManifest };

/** Decodes a sidecar, and proves nothing of it. @throws Failure `damaged` */
export function decodeSidecar(bytes: Uint8Array): Sidecar {
  const held = decode(() => HeldBackup.decode(bytes));
  const { manifest } = held;
  if (manifest === undefined) throw new Failure('damaged', 'it has no manifest');
  return { ...held, manifest };
}

/** What the name and the place of a sidecar say about its backup. */
export interface Expected {
  readonly owner: Hostname;
  readonly name: string;
  readonly own: boolean;
  /** The owner's; null where it is not known, and then nothing is compared with it. */
  readonly identity: Identity | null;
}

/**
 * Reads a sidecar, and leaves the signatures in it for later: see {@link proveSidecar}.
 * @throws Failure `damaged` or `untrusted`
 */
export function readSidecar(bytes: Uint8Array, expected: Expected): HeldEntry {
  return read(bytes, expected, readManifest).entry;
}

/**
 * Reads a sidecar and proves that the owner signed the manifest in it, where its identity is known, and this server the receipt.
 * @throws Failure `damaged` or `untrusted`
 */
export function proveSidecar(
  bytes: Uint8Array,
  expected: Expected,
): { readonly entry: HeldEntry; readonly held: Sidecar } {
  const proven = read(bytes, expected, verifyManifest);
  const { receipt } = proven.held;
  if (expected.own || receipt === undefined) return proven;
  try {
    // It may name an identity that this server had before: what came in then is held all the same.
    verifyReceipt(receipt, namedHolder(receipt), proven.entry.digest);
  } catch (cause) {
    throw new Failure('damaged', `its receipt proves nothing: ${Failure.from(cause).message}`, { cause });
  }
  return proven;
}

function read(bytes: Uint8Array, { owner, name, own, identity }: Expected, believe: typeof readManifest) {
  const held = decodeSidecar(bytes);
  const { facts, digest } = identity === null ? asItSays(held.manifest) : believe(held.manifest, identity);
  if (facts.name !== name) throw new Failure('damaged', `its manifest is that of ${JSON.stringify(facts.name)}`);
  const receivedAt = own ? null : receiptTime(held, digest);
  return { entry: makeEntry(facts, digest, owner, receivedAt, identity), held };
}

/** The identity that signed a sidecar which is whole, where it is another than its owner has in the configuration now; else null. */
export function otherIdentity(
  bytes: Uint8Array,
  { name, identity }: Pick<Expected, 'name' | 'identity'>,
): Identity | null {
  if (identity === null) return null;
  try {
    const { manifest } = decodeSidecar(bytes);
    const claimed = identityFromBytes(Buffer.from(Manifest.decode(manifest.manifest).identity));
    return claimed !== identity && verifyManifest(manifest, claimed).facts.name === name ? claimed : null;
  } catch {
    return null;
  }
}

function asItSays(signed: SignedManifest): { facts: Manifest; digest: Buffer } {
  return { facts: decode(() => Manifest.decode(signed.manifest)), digest: manifestDigest(signed) };
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
  identity: Identity | null,
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
    identity,
  };
}

function decode<T>(read: () => T): T {
  try {
    return read();
  } catch (cause) {
    throw new Failure('damaged', 'it cannot be read', { cause });
  }
}
