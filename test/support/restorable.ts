import { buffer } from 'node:stream/consumers';
import { gzipSync } from 'node:zlib';
import { identityToRecipient } from 'age-encryption';
import { ageSealer } from '../../src/mesh/envelope/age.js';
import type { Sealer } from '../../src/mesh/envelope/envelope.js';
import type { Manifest } from '../../src/mesh/generated/anemone/backup/v1/backup.js';
import { deriveKeys, formatRecoveryKey, generateRecoveryKey } from '../../src/mesh/identity/recovery-key.js';
import { makeServerIdentity } from '../../src/mesh/identity/server-identity.js';
import type { VerifiedManifest } from '../../src/mesh/manifest/manifest.js';
import { pushBackup } from '../../src/mesh/peers/push-backup.js';
import { type RawMember, rawTar } from '../client/restore/raw-tar.js';
import { manifestOf } from './manifests.js';
import type { PeerNode } from './peer-node.js';
import { reading } from './reading.js';

/** A backup that can be opened: its bytes, and what its owner signed about them. */
export interface Restorable {
  readonly bytes: Buffer;
  readonly manifest: VerifiedManifest;
}

/** A server whose recovery key a test knows. */
export function recoverableServer(name: string, epoch = 1_700_000_000_000) {
  const key = generateRecoveryKey();
  const keys = deriveKeys(key);
  return { name, keys, recoveryKey: formatRecoveryKey(key), server: makeServerIdentity(keys, name, epoch) };
}

export type RecoverableServer = ReturnType<typeof recoverableServer>;

/** Seals an archive of these members to the owner's recovery key, and signs its manifest. */
export function sealTree(
  owner: RecoverableServer,
  members: readonly RawMember[],
  facts: Partial<Manifest> = {},
  sealer?: Sealer,
): Promise<Restorable> {
  return sealBytes(owner, gzipSync(rawTar(...members)), facts, sealer);
}

/** Seals any content, as {@link sealTree} does. */
export async function sealBytes(
  owner: RecoverableServer,
  content: Buffer,
  facts: Partial<Manifest> = {},
  sealer?: Sealer,
): Promise<Restorable> {
  const toItself = sealer ?? ageSealer([await identityToRecipient(owner.keys.ageIdentity)]);
  const bytes = await buffer(toItself.seal(whole(content)));
  return {
    bytes,
    manifest: manifestOf(bytes, owner.server.signer, { owner: owner.name, format: toItself.format, ...facts }),
  };
}

export async function pushTo(node: PeerNode, owner: RecoverableServer, { manifest, bytes }: Restorable): Promise<void> {
  await pushBackup(node.callAs(owner.server), manifest, reading(bytes));
}

async function* whole(bytes: Buffer): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += 2 ** 20) yield bytes.subarray(at, at + 2 ** 20);
}
