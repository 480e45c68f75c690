import type { FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { SignedManifest } from '../../mesh/generated/anemone/backup/v1/backup.js';
import { FileDigest } from '../../mesh/manifest/digest-tree.js';
import { type VerifiedManifest, verifyManifest } from '../../mesh/manifest/manifest.js';
import { Failure } from '../../mesh/terms/failure.js';
import { create, diskFailure, onDisk, removeTold } from './disk.js';
import type { HeldEntry } from './held-entry.js';
import type { Parts } from './parts.js';
import { WriteBehind } from './write-behind.js';

type Digest = ReturnType<FileDigest['finish']>;

/** An own backup while it is made. One call at a time; `commit` or `discard` ends it. */
export interface Draft {
  /** Takes bytes over; what the disk says of them may be told by a later call. */
  write(chunk: Uint8Array): Promise<void>;
  /** Ends the writing, and says what the manifest has to say of the bytes. */
  digest(): Digest;
  /**
   * Keeps the backup; when this returns it is durable.
   * @throws Failure `conflict` when the name is taken; the draft is gone then, as after any failure
   */
  commit(signed: SignedManifest): Promise<HeldEntry>;
  /** Throws the bytes away; does nothing after a commit. */
  discard(): Promise<void>;
}

export async function openDraft(parts: Parts): Promise<Draft> {
  const { disk, inventory, keeping, layout, leaves, log } = parts;
  const path = layout.temporary();
  const what = `a new backup in ${dirname(path)}`;
  const handle = await begin(path, parts).catch((thrown) => {
    throw diskFailure(thrown, what);
  });
  const hashes = leaves.record(what);
  const running = new FileDigest(hashes.add);
  const behind = new WriteBehind(handle);
  let digest: Digest | null = null;
  let over = false;

  function checkOpen(): void {
    if (over) throw new Failure('failed', 'this draft has ended');
  }

  async function end(): Promise<void> {
    over = true;
    await behind.settled();
    // After a commit it is closed already; else the file is thrown away, whatever the disk says of it.
    await handle.close().catch(() => undefined);
    await removeTold(disk, path, log);
    await hashes.discard();
  }

  function finish(): Digest {
    digest ??= running.finish();
    return digest;
  }

  return {
    async write(chunk) {
      checkOpen();
      if (digest !== null) throw new Failure('failed', 'this draft has its digest already');
      await onDisk(what, () => behind.add(chunk));
      running.update(chunk);
      await hashes.flush();
    },
    digest() {
      checkOpen();
      return finish();
    },
    async commit(signed) {
      checkOpen();
      over = true;
      try {
        const manifest = believe(signed, finish(), parts);
        const { name } = manifest.facts;
        await behind.finish();
        return await parts.turnOf(name)(async () => {
          if (inventory.find(name) !== null) throw new Failure('conflict', `${name} is held already`);
          const entry = await keeping.keep(manifest, null, { path, handle });
          await hashes.keep(entry.digest);
          return entry;
        });
      } catch (thrown) {
        throw diskFailure(thrown, what);
      } finally {
        await end();
      }
    },
    async discard() {
      if (!over) await end();
    },
  };
}

async function begin(path: string, { host, disk, keeping }: Parts): Promise<FileHandle> {
  await keeping.checkFolder(host);
  return create(disk, path);
}

/** @throws Failure `damaged` when the manifest is about other bytes */
function believe(signed: SignedManifest, digest: Digest, { host, identityOf }: Parts): VerifiedManifest {
  const identity = identityOf(host);
  if (identity === null) throw new Failure('config', `the identity of ${host} is not known`);
  const manifest = verifyManifest(signed, identity);
  const { name, size, sha256, treeRoot } = manifest.facts;
  if (manifest.name.owner !== host) throw new Failure('invalid', `${name} is not a backup of ${host}`);
  if (digest.size !== size || !digest.sha256.equals(sha256) || !digest.treeRoot.equals(treeRoot)) {
    throw new Failure('damaged', `the manifest of ${name} is not about the bytes that were written`);
  }
  return manifest;
}
