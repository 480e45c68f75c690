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
 * The hashes of a backup's leaves as a holder gives them, cut into whole ones, any number at a time. They may be relied on when it
 * has come to its end: then they have led to the root that the owner signed.
 * @param described the holder
 * @throws Failure `damaged` for hashes of anything else; errors of `sent` as they are
 */
export async function* leadingToRoot(
  { facts: { name, size, treeRoot } }: VerifiedManifest,
  sent: Bytes,
  described: string,
): AsyncGenerator<Buffer> {
  const wrong = (): Failure =>
    new Failure('damaged', `${described} sent hashes that are not those of the leaves of ${name}`);
  const tree = new DigestTree();
  let left = Math.ceil(size / leafSize) * hashSize;
  let rest: Buffer = Buffer.alloc(0);
  for await (const chunk of sent) {
    const come = Buffer.concat([rest, chunk]);
    const whole = come.subarray(0, come.length - (come.length % hashSize));
    rest = come.subarray(whole.length);
    left -= whole.length;
    if (left < rest.length) throw wrong();
    for (let at = 0; at < whole.length; at += hashSize) tree.addLeaf(whole.subarray(at, at + hashSize));
    yield whole;
  }
  if (left > 0 || !tree.root().equals(treeRoot)) throw wrong();
}

/**
 * Takes the hashes of a backup's leaves as a holder gives them, see {@link leadingToRoot}. Those of a large backup do not fit into
 * memory: they lie in a file that has no name, so nothing of it stays.
 * @param folder where the file may lie
 * @throws Failure that names the folder when this disk does not take them
 */
export async function takeLeafHashes(
  manifest: VerifiedManifest,
  sent: Bytes,
  described: string,
  folder: string,
): Promise<LeafHashes> {
  const notWritten = (thrown: unknown): never => {
    throw Failure.from(thrown, `${folder} cannot be written`);
  };
  const file = await openNameless(folder).catch(notWritten);
  try {
    let size = 0;
    for await (const hashes of leadingToRoot(manifest, sent, described)) {
      await writeAll(file, hashes, size).catch(notWritten);
      size += hashes.length;
    }
    return {
      count: size / hashSize,
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

async function openNameless(folder: string): Promise<FileHandle> {
  const path = join(folder, `.anemone-${randomBytes(8).toString('hex')}.leaves`);
  const flags = constants.O_RDWR | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
  const file = await open(path, flags, 0o600);
  await rm(path);
  return file;
}
