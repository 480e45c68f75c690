import type { FileHandle } from 'node:fs/promises';
import type { VerifiedManifest } from '../../../mesh/manifest/manifest.js';
import type { Failure } from '../../../mesh/terms/failure.js';
import type { Holder } from '../../survey/holders.js';
import type { DownloadOptions, Received } from './download-options.js';
import { findLeafHashes } from './find-leaf-hashes.js';
import { downloadInParallel } from './parallel-download.js';

/**
 * Fetches a backup into an open file. One of its holders gives the hashes of the leaves, which lead to the root in the
 * manifest; then all of them give ranges at once, and each leaf is checked before it is written. What the file has already,
 * from an earlier attempt, is used.
 * @param file opened for reading and writing
 * @throws Failure `damaged` when all who answered sent something else; `unreachable` when nobody gives the hashes, or nobody
 *   could finish
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
  try {
    const received = await downloadInParallel(manifest, honest, { file, leaves, failures }, options);
    await file.sync();
    return received;
  } finally {
    await leaves.close();
  }
}
