import type { Manifest } from '../../src/mesh/generated/anemone/backup/v1/backup.js';
import { identityBytes } from '../../src/mesh/identity/identity.js';
import type { Signer } from '../../src/mesh/identity/signer.js';
import { FileDigest, leafHash, leafSize } from '../../src/mesh/manifest/digest-tree.js';
import { signManifest, type VerifiedManifest, verifyManifest } from '../../src/mesh/manifest/manifest.js';
import { formatBackupName } from '../../src/mesh/terms/backup-name.js';
import { parseHostname } from '../../src/mesh/terms/hostname.js';

/** The facts that an honest owner would sign about these bytes; `changes` makes them a lie, or another backup. */
export function factsAbout(content: Uint8Array, signer: Signer, changes: Partial<Manifest> = {}): Manifest {
  const digest = new FileDigest();
  digest.update(content);
  return factsOf(digest, signer, changes);
}

/** The same about bytes that a digest was given. */
export function factsOf(digest: FileDigest, signer: Signer, changes: Partial<Manifest> = {}): Manifest {
  const owner = changes.owner ?? 'FR1';
  const set = changes.set ?? 'backup';
  const createdAtMs = changes.createdAtMs ?? Date.UTC(2026, 10, 23, 1, 0, 0);
  return {
    owner,
    identity: identityBytes(signer.identity),
    set,
    name: formatBackupName({ owner: parseHostname(owner), set, time: createdAtMs }),
    sequence: 1,
    previous: Buffer.alloc(0),
    createdAtMs,
    format: 'age',
    ...digest.finish(),
    ...changes,
  };
}

/** A signed and verified manifest of these bytes. */
export function manifestOf(content: Uint8Array, signer: Signer, changes: Partial<Manifest> = {}): VerifiedManifest {
  return verifyManifest(signManifest(factsAbout(content, signer, changes), signer), signer.identity);
}

/** The hashes of the leaves of these bytes, one behind the other. */
export function hashesOf(bytes: Buffer): Buffer {
  const leaves = Array.from({ length: Math.ceil(bytes.length / leafSize) }, (_, index) =>
    leafHash(bytes.subarray(index * leafSize, (index + 1) * leafSize)),
  );
  return Buffer.concat(leaves);
}
