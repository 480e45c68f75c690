import { DigestTree, hashSize, leafHash, leafSize } from '../../mesh/manifest/digest-tree.js';
import type { VerifiedManifest } from '../../mesh/manifest/manifest.js';
import type { Bytes } from '../../mesh/terms/bytes.js';
import { Failure } from '../../mesh/terms/failure.js';
import { type Draw, pickLeaves } from './samples.js';

/** Whoever says that it holds backups of this server. */
export interface Prover {
  /** The hashes of a backup's leaves, in order. */
  leaves(name: string, signal: AbortSignal): Bytes;
  /** The leaves with these indexes, in the order asked for. */
  prove(name: string, leaves: readonly number[], signal: AbortSignal): AsyncIterable<Uint8Array>;
}

export interface ProofOptions {
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
export async function prove(holder: Prover, manifest: VerifiedManifest, options: ProofOptions): Promise<void> {
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
  { facts: { name, size, treeRoot } }: VerifiedManifest,
  picked: readonly number[],
  { signal, received }: ProofOptions,
): Promise<Buffer[]> {
  const count = Math.ceil(size / leafSize);
  const tree = new DigestTree();
  const kept: Buffer[] = [];
  let index = 0;
  for await (const hash of cut(holder.leaves(name, signal), received)) {
    if (index === count) throw lost('it sent more hashes than the backup has leaves');
    // A copy: the hash is a view of a whole message.
    if (index === picked[kept.length]) kept.push(Buffer.from(hash));
    tree.addLeaf(hash);
    index += 1;
  }
  if (index < count) throw lost(`it sent the hashes of ${index} of ${count} leaves`);
  if (!tree.root().equals(treeRoot)) throw lost('its leaves are not those of the manifest');
  return kept;
}

/** Cuts a stream into hashes, wherever its chunks end. */
async function* cut(chunks: Bytes, received: (bytes: number) => void): AsyncGenerator<Uint8Array> {
  let rest: Uint8Array = new Uint8Array();
  for await (const chunk of chunks) {
    received(chunk.length);
    const bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    const whole = bytes.length - (bytes.length % hashSize);
    for (let at = 0; at < whole; at += hashSize) yield bytes.subarray(at, at + hashSize);
    rest = bytes.subarray(whole);
  }
  if (rest.length > 0) throw lost('its hashes end in the middle of one');
}

function lost(why: string): Failure {
  return new Failure('damaged', why);
}
