import { createHash } from 'node:crypto';
import { Manifest, type SignedManifest } from '../generated/anemone/backup/v1/backup.js';
import { type Identity, identityBytes, identityFromBytes } from '../identity/identity.js';
import { provenEpoch } from '../identity/node-certificate.js';
import { type Signer, verifySignature } from '../identity/signer.js';
import { type BackupName, parseBackupName } from '../terms/backup-name.js';
import { Failure, type FailureOptions } from '../terms/failure.js';

/** A manifest that its owner signed and whose facts agree with each other. Only {@link verifyManifest} makes one. */
export interface VerifiedManifest {
  readonly signed: SignedManifest;
  readonly facts: Manifest;
  /** SHA-256 of the manifest's bytes: what receipts, uploads and the next manifest refer to. */
  readonly digest: Buffer;
  readonly name: BackupName;
}

/** Longest manifest that is read, in bytes; one that this program writes has about 350. */
const longestManifest = 4096;

/**
 * A node key gives no number above this many for each millisecond of its epoch. So a stolen one cannot use up the numbers of
 * a set: the key of the rebuilt server is newer, and has higher ones.
 */
const numbersPerMillisecond = 1024;

export function signManifest(facts: Manifest, signer: Signer): SignedManifest {
  const manifest = Buffer.from(Manifest.encode(facts).finish());
  return { manifest, signature: signer.sign('manifest', manifest), certificate: signer.certificate };
}

/**
 * Believes a manifest, or says why not.
 * @param identity the owner's, from the own configuration or the recovery key; never from the message
 * @throws Failure `untrusted` when the owner did not sign it, `damaged` when the facts contradict each other
 */
export function verifyManifest(signed: SignedManifest, identity: Identity): VerifiedManifest {
  if (signed.manifest.length > longestManifest) throw contradiction('it is too long');
  const { epoch } = verifySignature('manifest', { ...signed, bytes: signed.manifest }, identity);
  const manifest = readManifest(signed, identity);
  const highest = epoch * numbersPerMillisecond;
  if (manifest.facts.sequence > highest) {
    throw contradiction(`it is number ${manifest.facts.sequence}, and its node key gives no number above ${highest}`, {
      hint: 'Where that is a backup of this server, `anemone-peer restore` here makes a newer node key, which has higher numbers.',
    });
  }
  return { signed, ...manifest };
}

/**
 * Reads a manifest whose facts agree with each other and with the identity. The signature was checked before, or will be
 * before anybody relies on it.
 * @throws Failure `damaged`; `untrusted` when it names another identity
 */
export function readManifest(signed: SignedManifest, identity: Identity): Omit<VerifiedManifest, 'signed'> {
  const facts = decode(signed.manifest);
  const name = parseName(facts.name);
  if (name.owner !== facts.owner) throw contradiction('its name is of another owner');
  if (name.set !== facts.set) throw contradiction('its name is of another set');
  if (!identityBytes(identity).equals(facts.identity)) {
    throw new Failure('untrusted', 'the manifest names another identity');
  }
  if (facts.sha256.length !== 32 || facts.treeRoot.length !== 32) throw contradiction('a digest has a wrong length');
  if (facts.previous.length !== (facts.sequence > 1 ? 32 : 0)) {
    throw contradiction('the digest of the previous one has a wrong length');
  }
  if (facts.sequence < 1) throw contradiction('its sequence does not start at 1');
  if (facts.size < 1) throw contradiction('it describes an empty file');
  return { facts, digest: manifestDigest(signed), name };
}

/** Epoch of the node key that signed a manifest. */
export function epochOf({ signed, facts }: VerifiedManifest): number {
  return provenEpoch(signed.certificate, identityFromBytes(facts.identity));
}

export function manifestDigest(signed: SignedManifest): Buffer {
  return createHash('sha256').update(signed.manifest).digest();
}

function decode(bytes: Uint8Array): Manifest {
  try {
    return Manifest.decode(bytes);
  } catch (cause) {
    throw new Failure('damaged', 'the manifest cannot be read', { cause });
  }
}

function parseName(text: string): BackupName {
  try {
    return parseBackupName(text);
  } catch (cause) {
    throw new Failure('damaged', Failure.from(cause).message, { cause });
  }
}

function contradiction(what: string, options?: FailureOptions): Failure {
  return new Failure('damaged', `the manifest contradicts itself: ${what}`, options);
}
