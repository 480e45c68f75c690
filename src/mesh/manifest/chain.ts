import { mkdir, open, readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { SignedManifest } from '../generated/anemone/backup/v1/backup.js';
import type { Identity } from '../identity/identity.js';
import { Failure } from '../terms/failure.js';
import { type VerifiedManifest, verifyManifest } from './manifest.js';

/**
 * The newest manifest of a set that a restored server has seen on its peers. A rebuilt vault is empty; with this file the
 * sequence goes on where it was, and no peer sees a rollback.
 */
export async function readChainHead(
  stateFolder: string,
  set: string,
  identity: Identity,
): Promise<VerifiedManifest | null> {
  try {
    return verifyManifest(SignedManifest.decode(await readFile(chainFile(stateFolder, set))), identity);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw new Failure('damaged', `${chainFile(stateFolder, set)} is damaged: ${Failure.from(cause).message}`, {
      cause,
      hint: 'Remove it; the sequence of the set then goes on from the newest backup on this server.',
    });
  }
}

export async function writeChainHead(stateFolder: string, set: string, head: SignedManifest): Promise<void> {
  const path = chainFile(stateFolder, set);
  await mkdir(join(stateFolder, 'chain'), { recursive: true, mode: 0o700 });
  const file = await open(`${path}.new`, 'w', 0o600);
  try {
    await file.writeFile(SignedManifest.encode(head).finish());
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(`${path}.new`, path);
}

function chainFile(stateFolder: string, set: string): string {
  return join(stateFolder, 'chain', `${set}.manifest`);
}
