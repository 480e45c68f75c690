import { hashSize, leafHash, leafSize } from '../../mesh/manifest/digest-tree.js';
import { leadingToRoot } from '../../mesh/manifest/leaf-hashes.js';
import type { VerifiedManifest } from '../../mesh/manifest/manifest.js';
import type { Bytes } from '../../mesh/terms/bytes.js';
import { Failure } from '../../mesh/terms/failure.js';
import { type Draw, pickLeaves } from './samples.js';

/** Whoever says that it holds a backup. */
export interface Prover {
  /** The hashes of a backup's leaves, in order; not to be believed before they have led to its root. */
  leaves(manifest: VerifiedManifest, signal: AbortSignal): Bytes;
  /** The leaves with these indexes, in the order asked for. */
  prove(name: string, leaves: readonly number[], signal: AbortSignal): AsyncIterable<Uint8Array>;
}

export interface ChallengeOptions {
  /** Leaves to ask for; where the backup has fewer, all of them are. */
  readonly samples: number;
  readonly draw: Draw;
  readonly signal: AbortSignal;
  /** Told of bytes that arrived. */
  received(bytes: number): void;
}

/**
 * Has a holder prove that it holds a backup, without a copy at hand. It first commits itself to the hashes of all leaves,
 * which have to lead to the root that the owner signed, and only then learns which leaves it has to show. Of a holder that
 * lost one leaf in a hundred, 460 samples find 99 in 100. Memory grows with the samples, not with the backup.
 * @throws Failure `damaged` when it does not hold it; other failures say nothing about the backup
 */
export async function challenge(holder: Prover, manifest: VerifiedManifest, options: ChallengeOptions): Promise<void> {
  const { name, size } = manifest.facts;
  const leaves = pickLeaves(Math.ceil(size / leafSize), options.samples, options.draw);
  const hashes = await hashesOf(holder, manifest, leaves, options);
  let shown = 0;
  for await (const bytes of holder.prove(name, leaves, options.signal)) {
    options.received(bytes.length);
    const leaf = leaves[shown];
    const hash = hashes[shown];
    if (leaf === undefined || hash === undefined) throw lost('it sent more leaves than were asked for');
    const length = Math.min(leafSize, size - leaf * leafSize);
    if (bytes.length !== length || !leafHash(bytes).equals(hash)) throw lost(`its leaf ${leaf} has other bytes`);
    shown += 1;
  }
  if (shown < leaves.length) throw lost(`it sent ${shown} of the ${leaves.length} leaves that were asked for`);
}

/** The hashes of the picked leaves, once all hashes together have proven right. */
async function hashesOf(
  holder: Prover,
  manifest: VerifiedManifest,
  picked: readonly number[],
  { signal, received }: ChallengeOptions,
): Promise<Buffer[]> {
  const kept: Buffer[] = [];
  let first = 0;
  for await (const hashes of leadingToRoot(manifest, holder.leaves(manifest, signal), 'it')) {
    received(hashes.length);
    const end = first + hashes.length / hashSize;
    for (let leaf = picked[kept.length]; leaf !== undefined && leaf < end; leaf = picked[kept.length]) {
      // A copy, which does not keep all that came with it.
      kept.push(Buffer.from(hashes.subarray((leaf - first) * hashSize, (leaf - first + 1) * hashSize)));
    }
    first = end;
  }
  return kept;
}

function lost(why: string): Failure {
  return new Failure('damaged', why);
}
