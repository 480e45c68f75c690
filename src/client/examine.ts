import { type HeldBackup, Manifest, type SignedManifest } from '../mesh/generated/anemone/backup/v1/backup.js';
import type { Identity } from '../mesh/identity/identity.js';
import { manifestDigest, verifyManifest } from '../mesh/manifest/manifest.js';
import { readReceipt, verifyReceipt } from '../mesh/manifest/receipt.js';
import { type BackupName, parseBackupName } from '../mesh/terms/backup-name.js';
import { printable } from '../mesh/terms/clean-text.js';
import { Failure } from '../mesh/terms/failure.js';
import type { Copy, Examined, Shown, Standing } from './found.js';
import type { Holder } from './holders.js';

/** Examines one entry of an answer; where nothing of it can even be displayed, says why in words that follow "shows". */
export type Examine = (held: HeldBackup, holder: Holder) => Shown | string;

/**
 * `read`: a receipt has to be its holder's and for this backup, but its signature is not proven. The holder says the same
 * thing just now, over a connection that proves who it is; a signature proves it to others. `prove`: the signature too.
 */
export type ReceiptCheck = 'read' | 'prove';

/**
 * Examines the answers of a whole mesh. A manifest that fifty peers show is proven once: the proof is kept for as long as
 * the examiner, and goes with the exact bytes of manifest, signature and certificate.
 * @param owners the identity of each owner that is known; the backups of others are shown as not verifiable
 */
export function examiner(owners: ReadonlyMap<string, Identity>, receipts: ReceiptCheck): Examine {
  const proofs = new Map<string, { readonly signed: SignedManifest; readonly backup: Examined }>();
  /** One object for each backup that is told apart in a list, whoever shows it. */
  const backups = new Map<string, Examined>();

  const examineManifest = (signed: SignedManifest): Examined | string => {
    const key = Buffer.from(signed.signature).toString('latin1');
    const proof = proofs.get(key);
    if (proof !== undefined && isSame(proof.signed, signed)) return proof.backup;
    // A copy, because each part is a view of the message that it came in.
    const kept = copyOf(signed);
    const read = readFacts(kept);
    if (typeof read === 'string') return read;
    const digest = manifestDigest(kept);
    const standing = judge(kept, read.facts.owner, owners);
    const place = `${digest.toString('hex')} ${standing.kind === 'verified' ? '' : standing.reason}`;
    const backup = backups.get(place) ?? { ...read, digest, standing };
    backups.set(place, backup);
    if (proof === undefined) proofs.set(key, { signed: kept, backup });
    return backup;
  };

  return (held, holder) => {
    if (held.manifest === undefined) return 'an entry without a manifest';
    const backup = examineManifest(held.manifest);
    return typeof backup === 'string' ? backup : { backup, copy: examineCopy(held, holder, backup, receipts) };
  };
}

function isSame(a: SignedManifest, b: SignedManifest): boolean {
  return Buffer.compare(a.manifest, b.manifest) === 0 && Buffer.compare(a.certificate, b.certificate) === 0;
}

function copyOf({ manifest, signature, certificate }: SignedManifest): SignedManifest {
  return {
    manifest: Buffer.from(manifest),
    signature: Buffer.from(signature),
    certificate: Buffer.from(certificate),
  };
}

function readFacts({ manifest }: SignedManifest): { readonly facts: Manifest; readonly name: BackupName } | string {
  try {
    const facts = Manifest.decode(manifest);
    const name = parseBackupName(facts.name);
    if (!isMoment(facts.createdAtMs)) return 'a manifest with a time that no calendar has';
    if (name.owner !== facts.owner || name.set !== facts.set) return 'a manifest whose name is of another backup';
    return { facts, name };
  } catch {
    return 'an entry that cannot be read';
  }
}

/** Whether a Date can say it, so that it can be shown. */
function isMoment(ms: number): boolean {
  return ms <= 8.64e15;
}

function judge(signed: SignedManifest, owner: string, owners: ReadonlyMap<string, Identity>): Standing {
  const identity = owners.get(owner);
  if (identity === undefined) return { kind: 'unknown-owner', reason: `the identity of ${owner} is not known here` };
  try {
    return { kind: 'verified', manifest: verifyManifest(signed, identity) };
  } catch (thrown) {
    return { kind: 'forged', reason: reasonOf(thrown) };
  }
}

function examineCopy({ receipt }: HeldBackup, holder: Holder, backup: Examined, check: ReceiptCheck): Copy {
  if (receipt === undefined) {
    const isOwner = holder.name === backup.facts.owner;
    return { holder, receivedAt: null, doubt: isOwner ? null : 'it shows no receipt' };
  }
  const readOrProve = check === 'prove' ? verifyReceipt : readReceipt;
  try {
    const { receivedAt } = readOrProve(receipt, holder.identity, backup.digest);
    if (!isMoment(receivedAt))
      return { holder, receivedAt: null, doubt: 'its receipt has a time that no calendar has' };
    return { holder, receivedAt, doubt: null };
  } catch (thrown) {
    return { holder, receivedAt: null, doubt: reasonOf(thrown) };
  }
}

function reasonOf(thrown: unknown): string {
  return printable(Failure.from(thrown).message, 300);
}
