import { join } from 'node:path';
import { DigestTree, hashSize, leafSize } from '../../mesh/manifest/digest-tree.js';
import type { VerifiedManifest } from '../../mesh/manifest/manifest.js';
import type { Bytes } from '../../mesh/terms/bytes.js';
import { Failure } from '../../mesh/terms/failure.js';
import type { Log } from '../../mesh/terms/log.js';
import {
  create,
  type Disk,
  hasCode,
  openForReading,
  openOrCreate,
  readInto,
  removeFile,
  removeLeftovers,
  writeAll,
} from './disk.js';
import type { HeldEntry } from './held-entry.js';
import type { Layout } from './layout.js';

/** Bytes of hashes that are written, or read, in one go: those of 128 MiB of a backup. */
const batch = 2048 * hashSize;

/** Takes the leaf hashes of a backup down while its bytes pass. It never fails: what is lost can be computed again. */
export interface LeafRecorder {
  add(hash: Uint8Array): void;
  /** Writes what has gathered, when that is worth a write. */
  flush(): Promise<void>;
  /** Keeps what was taken down as the hashes of this backup. @param digest of its manifest */
  keep(digest: Uint8Array): Promise<void>;
  /** Throws away what was not kept. */
  discard(): Promise<void>;
}

/**
 * The leaf hashes of what is held, in files of their own. They are derived: a file that is missing or damaged is made again
 * from the backup, and none of them is ever believed before its root was compared with the manifest.
 */
export interface KeptLeaves {
  /** @param backup what the log calls it */
  record(backup: string): LeafRecorder;
  /** Takes over a finished file of hashes. Never throws. */
  adopt(manifest: VerifiedManifest, path: string): Promise<void>;
  /** Whether the hashes of a backup are there and lead to its root. */
  areRight(entry: HeldEntry, treeRoot: Uint8Array): Promise<boolean>;
  /** The hashes as they are on the disk, from that of one leaf on. No file stays open while the reader takes its time. */
  read(entry: HeldEntry, first: number): Bytes;
  forget(digest: Uint8Array): Promise<void>;
  /** Removes the hashes of what is not held any more. @param held gives the digests of the manifests of all that is held now */
  tidy(held: () => readonly Uint8Array[]): Promise<void>;
}

export interface KeptLeavesOptions {
  readonly layout: Layout;
  readonly disk: Disk;
  readonly log: Log;
}

export function openLeaves({ layout, disk, log }: KeptLeavesOptions): KeptLeaves {
  const isRight = async (entry: HeldEntry, treeRoot: Uint8Array): Promise<boolean> => {
    const tree = new DigestTree();
    for await (const hashes of chunks(disk, layout.leavesOf(entry.digest), entry, 0)) {
      for (let at = 0; at < hashes.length; at += hashSize) tree.addLeaf(hashes.subarray(at, at + hashSize));
    }
    return tree.root().equals(treeRoot);
  };
  let isFailing = false;
  const keep = async (digest: Uint8Array, path: string): Promise<void> => {
    await disk.rename(path, layout.leavesOf(digest));
    isFailing = false;
  };
  /** A disk that keeps none, as a full one, is told once, and not for each proof of each backup. */
  const notKept = (backup: string, thrown: unknown): void => {
    if (!isFailing) log.warn('leaf hashes not kept', { backup, reason: Failure.from(thrown).message });
    isFailing = true;
  };
  return {
    record: (backup) => recorder({ disk, layout, keep, notKept: (thrown) => notKept(backup, thrown) }),
    async adopt({ digest, facts: { name } }, path) {
      await keep(digest, path).catch((thrown) => notKept(name, thrown));
    },
    async areRight(entry, treeRoot) {
      try {
        return await isRight(entry, treeRoot);
      } catch (thrown) {
        if (!hasCode(thrown, 'ENOENT')) log.warn('leaf hashes unreadable', { reason: Failure.from(thrown).message });
        return false;
      }
    },
    read: (entry, first) => chunks(disk, layout.leavesOf(entry.digest), entry, first),
    forget: (digest) => removeFile(disk, layout.leavesOf(digest)),
    async tidy(held) {
      const paths = (await disk.readdir(layout.leaves)).map((file) => join(layout.leaves, file));
      // Asked only now: hashes that were just found may be those of a backup that came in meanwhile.
      const needed = new Set(held().map((digest) => layout.leavesOf(digest)));
      await removeLeftovers(
        disk,
        paths.filter((path) => !needed.has(path)),
      );
    },
  };
}

/** @throws Failure `damaged` when the file does not have a hash for each leaf */
async function* chunks(disk: Disk, path: string, entry: HeldEntry, first: number): AsyncGenerator<Uint8Array> {
  const size = Math.ceil(entry.size / leafSize) * hashSize;
  for (let position = first * hashSize; position < size; position += batch) {
    const chunk = Buffer.allocUnsafe(Math.min(batch, size - position));
    const handle = await openForReading(disk, path);
    try {
      const length = await readInto(handle, chunk, position);
      if (length < chunk.length || (await handle.stat()).size !== size) {
        throw new Failure('damaged', `the file of leaf hashes of ${entry.name} has a wrong length`);
      }
    } finally {
      await handle.close();
    }
    yield chunk;
  }
}

interface RecorderOptions extends Pick<KeptLeavesOptions, 'disk' | 'layout'> {
  /** Takes over a finished file. */
  keep(digest: Uint8Array, path: string): Promise<void>;
  notKept(thrown: unknown): void;
}

function recorder({ disk, layout, keep, notKept }: RecorderOptions): LeafRecorder {
  let gathered: Uint8Array[] = [];
  let file: { readonly path: string; position: number } | null = null;
  let broken = false;

  const write = async (): Promise<string> => {
    const bytes = Buffer.concat(gathered);
    gathered = [];
    file ??= { path: layout.temporary(), position: 0 };
    const { path, position } = file;
    const handle = position === 0 ? await create(disk, path) : await openOrCreate(disk, path);
    try {
      await writeAll(handle, bytes, position);
    } finally {
      await handle.close();
    }
    file.position += bytes.length;
    return path;
  };
  const discard = async (): Promise<void> => {
    gathered = [];
    if (file === null) return;
    await removeLeftovers(disk, [file.path]);
    file = null;
  };
  const attempt = async (work: () => Promise<void>): Promise<void> => {
    if (broken) return;
    try {
      await work();
    } catch (thrown) {
      broken = true;
      notKept(thrown);
      await discard();
    }
  };

  return {
    add(hash) {
      if (!broken) gathered.push(hash);
    },
    flush: () =>
      attempt(async () => {
        if (gathered.length * hashSize >= batch) await write();
      }),
    async keep(digest) {
      await attempt(async () => keep(digest, await write()));
      await discard();
    },
    discard,
  };
}
