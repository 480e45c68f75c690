import { readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { VerifiedManifest } from '../../../mesh/manifest/manifest.js';
import { type BackupName, parseBackupName } from '../../../mesh/terms/backup-name.js';
import { partMark } from './part-file.js';

/** What restores that were cut off, or not finished, have downloaded: sealed bytes in their target, under a hidden name. */
export interface Part {
  /** Absolute. */
  readonly path: string;
  readonly backup: BackupName;
  /** Bytes of the disk. */
  readonly size: number;
}

const pattern = /^\.anemone-restore-(.+)\.[0-9a-f]{16}\.part$/;

/** Where a backup is downloaded to. */
export function partPath(folder: string, { facts, digest }: Pick<VerifiedManifest, 'facts' | 'digest'>): string {
  return join(folder, `.anemone-restore-${facts.name}.${partMark(digest)}`);
}

export async function partsIn(folder: string): Promise<readonly Part[]> {
  const names = await readdir(folder).catch(() => []);
  const parts = await Promise.all(names.map((name) => partOf(folder, name)));
  return parts.filter((part) => part !== null);
}

/** Removes what earlier restores of a set have left in a folder. */
export async function removeParts(
  folder: string,
  { owner, set }: { readonly owner: string; readonly set: string },
): Promise<void> {
  for (const { path, backup } of await partsIn(folder)) {
    if (backup.owner === owner && backup.set === set) await rm(path, { force: true });
  }
}

async function partOf(folder: string, name: string): Promise<Part | null> {
  const [, backup] = pattern.exec(name) ?? [];
  if (backup === undefined) return null;
  try {
    const path = join(folder, name);
    return { path, backup: parseBackupName(backup), size: (await stat(path)).blocks * 512 };
  } catch {
    return null;
  }
}
