import { join } from 'node:path';
import { readSmallFile } from '../files/read-small-file.js';
import { replaceFile } from '../files/replace-file.js';
import { Manifest, SignedManifest } from '../generated/anemone/backup/v1/backup.js';
import { type Identity, identityFromBytes } from '../identity/identity.js';
import { Failure } from '../terms/failure.js';
import { type VerifiedManifest, verifyManifest } from './manifest.js';

/**
 * The newest manifest of a set that this server made, or that it has seen on its peers, at its restore or at the beginning of
 * a run. A rebuilt vault is empty, and the newest backup in another may be damaged; with this file the sequence goes on where it
 * was, and no peer sees a rollback, or another backup of the same number.
 * @returns null also for one of an identity that this server had before: what that signed is no part of the new chain
 * @throws Failure `damaged` when it is no manifest that its owner signed, `failed` when it cannot be read
 */
export async function readChainHead(
  stateFolder: string,
  set: string,
  identity: Identity,
): Promise<VerifiedManifest | null> {
  const file = chainFile(stateFolder, set);
  let bytes: Buffer;
  try {
    bytes = await readSmallFile(file);
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw Failure.from(thrown, `${file} cannot be read`);
  }
  try {
    const signed = SignedManifest.decode(bytes);
    const signer = identityFromBytes(Manifest.decode(signed.manifest).identity);
    const head = verifyManifest(signed, signer);
    return signer === identity ? head : null;
  } catch (cause) {
    throw new Failure('damaged', `${file} is damaged: ${Failure.from(cause).message}`, {
      cause,
      hint: 'Remove it; the sequence of the set then goes on from the newest backup on this server.',
    });
  }
}

export async function writeChainHead(stateFolder: string, set: string, head: SignedManifest): Promise<void> {
  await replaceFile(chainFile(stateFolder, set), SignedManifest.encode(head).finish());
}

function chainFile(stateFolder: string, set: string): string {
  return join(stateFolder, 'chain', `${set}.manifest`);
}
