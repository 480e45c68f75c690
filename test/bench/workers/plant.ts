import { randomBytes } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { copyFile, link, mkdir, open, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { HeldBackup, type Manifest } from '../../../src/mesh/generated/anemone/backup/v1/backup.js';
import type { ServerIdentity } from '../../../src/mesh/identity/server-identity.js';
import { FileDigest } from '../../../src/mesh/manifest/digest-tree.js';
import { manifestDigest, signManifest } from '../../../src/mesh/manifest/manifest.js';
import { signReceipt } from '../../../src/mesh/manifest/receipt.js';
import { formatBackupName } from '../../../src/mesh/terms/backup-name.js';
import { parseHostname } from '../../../src/mesh/terms/hostname.js';
import { factsOf } from '../../support/manifests.js';

export interface Planting {
  /** Hostname of the owner. */
  readonly owner: string;
  readonly set: string;
  /** A file with the bytes of every one of the backups. */
  readonly source: string;
  /** The owner's folder in a vault. */
  readonly folder: string;
  readonly count: number;
}

/** Bytes that nothing can make smaller. */
export async function writeRandom(path: string, size: number): Promise<void> {
  const piece = randomBytes(2 ** 20);
  const file = await open(path, 'w');
  for (let written = 0; written < size; written += piece.length) {
    piece.writeDoubleLE(written);
    await file.write(piece, 0, Math.min(piece.length, size - written));
  }
  await file.sync();
  await file.close();
}

/** Most hard links of one file on ext4 are 65,000. */
const mostLinks = 60_000;

/**
 * Puts backups into a vault that nobody has open, as if a node had kept them; their bytes are hard links to one file.
 * @param holder who gives the receipts, where the vault is not the owner's
 * @returns the file names, oldest first
 */
export async function plant(owner: ServerIdentity, planting: Planting, holder?: ServerIdentity): Promise<string[]> {
  const { folder, count } = planting;
  let { source } = planting;
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const facts = await factsAbout(owner, planting);
  const names: string[] = [];
  for (let index = 0; index < count; index += 1) {
    if (index % mostLinks === mostLinks - 1) {
      await copyFile(source, `${planting.source}-${index}`);
      source = `${planting.source}-${index}`;
    }
    const manifest = signManifest(nthOf(facts, index), owner.signer);
    const receivedAt = facts.createdAtMs + index * 1000;
    const receipt =
      holder === undefined
        ? undefined
        : signReceipt({ manifestDigest: manifestDigest(manifest), receivedAt }, holder.signer);
    const name = nthOf(facts, index).name;
    await writeFile(join(folder, `${name}.manifest`), HeldBackup.encode({ manifest, receipt }).finish());
    await link(source, join(folder, name));
    names.push(name);
  }
  return names;
}

/** The facts of the first backup of a series over the bytes of a file. */
export async function factsAbout(owner: ServerIdentity, { owner: name, set, source }: Planting): Promise<Manifest> {
  const digest = new FileDigest();
  for await (const part of createReadStream(source, { highWaterMark: 2 ** 20 })) digest.update(part);
  return factsOf(digest, owner.signer, { owner: name, set, createdAtMs: Date.UTC(2024, 0, 1) });
}

/** The same bytes again, as a later backup of the series. */
export function nthOf(first: Manifest, index: number): Manifest {
  const createdAtMs = first.createdAtMs + index * 1000;
  return {
    ...first,
    createdAtMs,
    name: formatBackupName({ owner: parseHostname(first.owner), set: first.set, time: createdAtMs }),
    sequence: index + 1,
    previous: Buffer.alloc(index === 0 ? 0 : 32),
  };
}
