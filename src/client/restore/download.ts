import { createHash } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import { FileDigest } from '../../mesh/manifest/digest-tree.js';
import type { VerifiedManifest } from '../../mesh/manifest/manifest.js';
import { Failure } from '../../mesh/terms/failure.js';
import type { Holder } from '../holders.js';
import type { DownloadOptions, Received } from './arrival.js';
import { findLeafHashes } from './find-leaf-hashes.js';
import { downloadInTurn } from './in-turn.js';
import { downloadInParallel } from './parallel-download.js';
import { readAll } from './positional.js';

/**
 * Fetches a backup into an open file and believes it only when size, SHA-256 and tree root are those of the manifest. What
 * the file has already, from an earlier attempt, is used. When one of the holders can give the hashes of the leaves, all
 * of them give ranges at once and each leaf is checked as it arrives; otherwise they are asked one after the other.
 * @param file opened for reading and writing
 * @throws Failure `damaged` when all who answered sent something else; `unreachable` when nobody could finish
 */
export async function download(
  manifest: VerifiedManifest,
  holders: readonly Holder[],
  file: FileHandle,
  options: DownloadOptions,
): Promise<Received> {
  const failures = new Map<Holder, Failure>();
  const leaves = await findLeafHashes(manifest, holders, failures, options);
  const honest = holders.filter((holder) => failures.get(holder)?.kind !== 'damaged');
  if (leaves === null) return downloadInTurn(manifest, honest, file, failures, options);
  try {
    const received = await downloadInParallel(manifest, honest, { file, leaves, failures }, options);
    await Promise.all([checkWhole(manifest, file), file.sync()]);
    return received;
  } finally {
    await leaves.close();
  }
}

/** Each leaf was right when it came: what is wrong now went wrong here, or was signed wrong. */
async function checkWhole({ facts }: VerifiedManifest, file: FileHandle): Promise<void> {
  const sha256 = createHash('sha256');
  for await (const chunk of readAll(file)) sha256.update(chunk);
  if (sha256.digest().equals(facts.sha256)) return;
  const what = (await treeRootOf(file)).equals(facts.treeRoot)
    ? 'its manifest states a SHA-256 that its own leaves do not have'
    : 'it was right as it came, and is read back from this disk as something else';
  throw new Failure('damaged', `${facts.name} is damaged: ${what}`, {
    hint: 'Choose another backup, or another disk.',
  });
}

async function treeRootOf(file: FileHandle): Promise<Buffer> {
  const digest = new FileDigest();
  for await (const chunk of readAll(file)) digest.update(chunk);
  return digest.finish().treeRoot;
}
