import type { FileHandle } from 'node:fs/promises';
import type { VerifiedManifest } from '../../../mesh/manifest/manifest.js';
import type { Failure } from '../../../mesh/terms/failure.js';
import type { Holder } from '../../survey/holders.js';
import type { DownloadOptions, Received } from './arrival.js';
import { findLeafHashes } from './find-leaf-hashes.js';
import { downloadInTurn } from './in-turn.js';
import { downloadInParallel } from './parallel-download.js';

/**
 * Fetches a backup into an open file and believes it only when size and tree root are those of the manifest. What the file
 * has already, from an earlier attempt, is used. When one of the holders can give the hashes of the leaves, all of them give
 * ranges at once and each leaf is checked before it is written; otherwise they are asked one after the other, and the bytes
 * are believed at the end, by their SHA-256 too.
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
    await file.sync();
    return received;
  } finally {
    await leaves.close();
  }
}
