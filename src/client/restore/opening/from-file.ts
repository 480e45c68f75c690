import type { FileHandle } from 'node:fs/promises';
import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { readAll } from '../../../mesh/files/read-all.js';
import { HeldBackup, Manifest } from '../../../mesh/generated/anemone/backup/v1/backup.js';
import { type Identity, identityFromBytes } from '../../../mesh/identity/identity.js';
import { FileDigest } from '../../../mesh/manifest/digest-tree.js';
import { type VerifiedManifest, verifyManifest } from '../../../mesh/manifest/manifest.js';
import { parseBackupName } from '../../../mesh/terms/backup-name.js';
import { Failure } from '../../../mesh/terms/failure.js';
import { checkOwner, type Keys } from './keys.js';
import { openForRestore, type SealedFile } from './sealed-file.js';

export interface FromFileOptions {
  readonly path: string;
  /** Open a file that has no manifest. */
  readonly allowUnauthenticated: boolean;
  /** The identities that the configuration knows, by hostname; null on a bare machine. */
  readonly owners: ReadonlyMap<string, Identity> | null;
  /** Told whose backup it says it is, where anything says so; throws where that must not be restored. */
  accept(owner: string): Promise<void>;
  readonly keys: Keys;
  readonly signal: AbortSignal;
  warn(text: string): void;
}

/**
 * A file from disk. With its manifest beside it, it is verified like one from a peer, with the identity that the
 * configuration or the recovery key gives.
 * @throws Failure `untrusted` without a manifest and without leave; `wrong-key` when the recovery key is another server's;
 *   `damaged` when the bytes are not those of the manifest
 */
export async function sealedFromFile({
  path,
  allowUnauthenticated,
  owners,
  accept,
  keys,
  signal,
  warn,
}: FromFileOptions): Promise<SealedFile> {
  const file = await openForRestore(path);
  try {
    const signed = await readManifest(`${path}.manifest`);
    if (signed === null) {
      for (const owner of ownerInName(path)) await accept(owner);
      if (allowUnauthenticated) return { label: path, file, manifest: null, ageIdentity: null };
      throw new Failure('untrusted', `nothing proves who made ${path}: there is no ${path}.manifest`, {
        hint: 'If you know where the file comes from, open it with --allow-unauthenticated.',
      });
    }
    const { owner, identity } = claimOf(signed, path);
    await accept(owner);
    const known = owners?.get(owner);
    const trusted =
      known === undefined
        ? await keys.recoveryKey((given) => checkOwner(given, identity, `${path} is of ${identity}`))
        : { identity: known, ageIdentity: null };
    const manifest = verifyManifest(signed, trusted.identity);
    const contradiction = await compareBytes(file, manifest, path, signal);
    if (contradiction !== null) warn(contradiction);
    return { label: path, file, manifest, ageIdentity: trusted.ageIdentity };
  } catch (thrown) {
    await file.close();
    throw thrown;
  }
}

async function readManifest(path: string): Promise<NonNullable<HeldBackup['manifest']> | null> {
  try {
    const { manifest } = HeldBackup.decode(await readFile(path));
    if (manifest !== undefined) return manifest;
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw new Failure('damaged', `${path} cannot be read: ${Failure.from(cause).message}`, { cause });
  }
  throw new Failure('damaged', `${path} holds no manifest`);
}

/** Whose backup it says it is; nothing is proven by it. */
function claimOf({ manifest }: { readonly manifest: Uint8Array }, path: string): { owner: string; identity: Identity } {
  try {
    const { owner, identity } = Manifest.decode(manifest);
    return { owner, identity: identityFromBytes(identity) };
  } catch (cause) {
    throw new Failure('damaged', `${path}.manifest cannot be read`, { cause });
  }
}

/** Whose backup it is by its name; none where the file is called otherwise. */
function ownerInName(path: string): string[] {
  try {
    return [parseBackupName(basename(path)).owner];
  } catch {
    return [];
  }
}

/** @returns what is to be told where only the SHA-256 differs, which no other copy mends; null where nothing does */
async function compareBytes(
  file: FileHandle,
  { facts }: VerifiedManifest,
  path: string,
  signal: AbortSignal,
): Promise<string | null> {
  const digest = new FileDigest();
  for await (const chunk of readAll(file, { signal })) digest.update(chunk);
  const { size, sha256, treeRoot } = digest.finish();
  if (size === facts.size && treeRoot.equals(facts.treeRoot)) {
    if (sha256.equals(facts.sha256)) return null;
    return (
      `${path} has another SHA-256 than its manifest says, and is the file all the same: all its bytes lead to the tree ` +
      `root in there, so ${facts.owner} signed a contradiction`
    );
  }
  throw new Failure('damaged', `${path} is damaged: its bytes are not those of its manifest (${facts.name})`, {
    hint: 'Fetch it again, or restore it from a peer.',
  });
}
