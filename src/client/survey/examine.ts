import { type HeldBackup, Manifest, type SignedManifest } from '../../mesh/generated/anemone/backup/v1/backup.js';
import type { Identity } from '../../mesh/identity/identity.js';
import { manifestDigest, verifyManifest } from '../../mesh/manifest/manifest.js';
import { readReceipt, verifyReceipt } from '../../mesh/manifest/receipt.js';
import type { BriefEntry } from '../../mesh/peers/list-backups.js';
import { type BackupName, parseBackupName } from '../../mesh/terms/backup-name.js';
import { printable } from '../../mesh/terms/clean-text.js';
import { Failure } from '../../mesh/terms/failure.js';
import { isMoment } from '../../mesh/terms/moment.js';
import type { Copy, Examined, Shown, Standing } from './found.js';
import type { Holder } from './holders.js';

/** Examines the entries of answers. */
export interface Examiner {
  /** Examines a whole entry; where nothing of it can even be displayed, says why in words that follow "shows". */
  whole(held: HeldBackup, holder: Holder): Shown | string;
  /** Examines an entry in brief; null as long as no whole one has brought its manifest, in a shape that can be believed. */
  brief(entry: BriefEntry, holder: Holder): Shown | null;
}

/**
 * `brief`: no receipt is asked for; its holder says the same thing just now, over a connection that proves who it is. `read`: a
 * receipt has to be its holder's and for this backup, but its signature, which proves it to others, is not proven. `prove`: the
 * signature too.
 */
export type ReceiptCheck = 'brief' | 'read' | 'prove';

/**
 * Examines the answers of a whole mesh. A manifest that fifty peers show is proven once: the proof is kept for as long as
 * the examiner, and goes with the exact bytes of manifest, signature and certificate.
 * @param owners the identity of each owner that is known; the backups of others are shown as not verifiable
 */
export function examiner(owners: ReadonlyMap<string, Identity>, receipts: ReceiptCheck): Examiner {
  const proofs = new Map<string, { readonly signed: SignedManifest; readonly backup: Examined }>();
  /** One object for each backup that is told apart in a list, whoever shows it. */
  const backups = new Map<string, Examined>();
  /** Those that are not forged, by the digest of their manifest in hexadecimal. */
  const believable = new Map<string, Examined>();

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
    const hex = digest.toString('hex');
    const place = `${hex} ${standing.kind === 'verified' ? '' : standing.reason}`;
    const backup = backups.get(place) ?? { ...read, digest, standing };
    backups.set(place, backup);
    if (standing.kind !== 'forged') believable.set(hex, backup);
    if (proof === undefined) proofs.set(key, { signed: kept, backup });
    return backup;
  };

  return {
    whole(held, holder) {
      if (held.manifest === undefined) return 'an entry without a manifest';
      const backup = examineManifest(held.manifest);
      return typeof backup === 'string' ? backup : { backup, copy: examineCopy(held, holder, backup, receipts) };
    },
    brief({ manifestDigest, receivedAt }, holder) {
      const backup = believable.get(manifestDigest);
      if (backup === undefined) return null;
      return {
        backup,
        copy: receivedAt === null ? copyWithoutReceipt(holder, backup) : copySince(receivedAt, holder),
      };
    },
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
  if (receipt === undefined) return copyWithoutReceipt(holder, backup);
  const readOrProve = check === 'prove' ? verifyReceipt : readReceipt;
  try {
    return copySince(readOrProve(receipt, holder.identity, backup.digest).receivedAt, holder);
  } catch (thrown) {
    return { holder, receivedAt: null, doubt: reasonOf(thrown) };
  }
}

function copyWithoutReceipt(holder: Holder, { facts }: Examined): Copy {
  return { holder, receivedAt: null, doubt: holder.name === facts.owner ? null : 'it shows no receipt' };
}

function copySince(receivedAt: number, holder: Holder): Copy {
  if (isMoment(receivedAt)) return { holder, receivedAt, doubt: null };
  return { holder, receivedAt: null, doubt: 'its receipt has a time that no calendar has' };
}

function reasonOf(thrown: unknown): string {
  return printable(Failure.from(thrown).message, 300);
}
