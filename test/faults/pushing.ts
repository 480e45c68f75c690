import { existsSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { SignedReceipt } from '../../src/mesh/generated/anemone/backup/v1/backup.js';
import type { Vault } from '../../src/node/vault/vault.js';
import { FR2, type Sample } from './world.js';

/** A folder in memory where that is possible, for faults that no disk is needed for. */
export function temporaryFolder(): Promise<string> {
  return mkdtemp(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'anemone-faults-'));
}

/** Gives a backup of FR2 to a vault, as the service does for a peer. */
export async function push(vault: Vault, { content, manifest }: Sample): Promise<SignedReceipt> {
  const offer = await vault.offer(FR2, manifest);
  if ('held' in offer) return offer.held;
  for (let missing = offer.missing; ; ) {
    const [range] = missing;
    if (range === undefined) throw new Error('nothing is missing, and nothing is acknowledged');
    const receiver = await vault.receive(FR2, manifest.digest, range);
    await receiver.write(content.subarray(range.offset, range.offset + range.length));
    const answer = await receiver.finish();
    if ('held' in answer) return answer.held;
    missing = answer.missing;
  }
}
