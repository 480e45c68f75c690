import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { type FileHandle, open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { writeAll } from '../files/write-all.js';
import type { Bytes } from '../terms/bytes.js';
import { Failure } from '../terms/failure.js';
import { DigestTree, hashSize, leafSize } from './digest-tree.js';
import type { VerifiedManifest } from './manifest.js';

/** The hashes of all leaves of a backup, proven by its manifest. */
export interface LeafHashes {
  /** How many leaves there are. */
  readonly count: number;
  /** The hashes of leaves, one behind the other. */
  read(first: number, count: number): Promise<Buffer>;
  close(): Promise<void>;
}

/**
 * Takes the hashes of a backup's leaves as a holder gives them, and believes them when they lead to the root that the owner
 * signed. Those of a large backup do not fit into memory: they lie in a file that has no name, so nothing of it stays.
 * @param described the holder
 * @param folder where the file may lie
 * @throws Failure `damaged` for hashes of anything else; one that names the folder when this disk does not take them; errors
 *   of `hashes` as they are
 */
export async function takeLeafHashes(
  manifest: VerifiedManifest,
  hashes: Bytes,
  described: string,
  folder: string,
): Promise<LeafHashes> {
  const { facts } = manifest;
  const count = Math.ceil(facts.size / leafSize);
  const wrong = (): Failure =>
    new Failure('damaged', `${described} sent hashes that are not those of the leaves of ${facts.name}`);
  const here = `${folder} cannot be written`;
  const file = await openNameless(folder).catch((thrown) => {
    throw Failure.from(thrown, here);
  });
  try {
    const tree = new DigestTree();
    let size = 0;
    let rest: Buffer = Buffer.alloc(0);
    for await (const chunk of hashes) {
      if (size + chunk.length > count * hashSize) throw wrong();
      await writeAll(file, chunk, size).catch((thrown) => {
        throw Failure.from(thrown, here);
      });
      size += chunk.length;
      rest = addLeaves(tree, Buffer.concat([rest, chunk]));
    }
    if (size !== count * hashSize || !tree.root().equals(facts.treeRoot)) throw wrong();
    return {
      count,
      async read(first, wanted) {
        const { buffer, bytesRead } = await file.read(Buffer.alloc(wanted * hashSize), { position: first * hashSize });
        return buffer.subarray(0, bytesRead);
      },
      close: () => file.close(),
    };
  } catch (thrown) {
    await file.close();
    throw thrown;
  }
}

/** @returns the beginning of a hash that has not come as a whole yet */
function addLeaves(tree: DigestTree, bytes: Buffer): Buffer {
  const whole = bytes.length - (bytes.length % hashSize);
  // The tree keeps some hashes for long: each as its own bytes, so that it does not keep the chunk around it.
  for (let at = 0; at < whole; at += hashSize) tree.addLeaf(Uint8Array.from(bytes.subarray(at, at + hashSize)));
  return bytes.subarray(whole);
}

async function openNameless(folder: string): Promise<FileHandle> {
  const path = join(folder, `.anemone-${randomBytes(8).toString('hex')}.leaves`);
  const flags = constants.O_RDWR | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
  const file = await open(path, flags, 0o600);
  await rm(path);
  return file;
}
