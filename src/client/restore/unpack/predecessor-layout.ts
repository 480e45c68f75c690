import { chmod, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { foldersAbove } from './folders-above.js';
import type { UnpackedEntry } from './unpack.js';

/** What the predecessor looks for to know that a server needs no first setup. */
const marker = '.setup-completed';
/** Members that only an archive of the predecessor has beside `config.yaml` at its top: any server may have keys there. */
const signs = ['.restic.encrypted', '.restic.salt'];
const sha256OfNothing = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855';

/** Whether an archive was made by the predecessor, whose members lie at the top without a folder around them. */
export function hasPredecessorLayout(entries: readonly Pick<UnpackedEntry, 'path' | 'kind'>[]): boolean {
  const files = new Set(entries.filter(({ kind }) => kind === 'file').map(({ path }) => path));
  return files.has('config.yaml') && signs.some((path) => files.has(path));
}

/**
 * Gives an unpacked archive of the predecessor the modes that its own restore gave (private files 0600, public keys
 * 0644, `ssh/` 0700, other folders 0755) and the empty `.setup-completed`, before it is put into place.
 * @param isWhole whether nothing of the archive was left out: the marker belongs to all of it
 * @returns the entries as they are now; also the folders that the archive only implies
 */
export async function applyPredecessorLayout(
  staging: string,
  entries: readonly UnpackedEntry[],
  isWhole = true,
): Promise<readonly UnpackedEntry[]> {
  const mtime = new Date(entries.reduce((newest, entry) => Math.max(newest, entry.mtime.getTime()), 0));
  const made = (path: string, kind: 'folder' | 'file'): UnpackedEntry => ({
    path,
    kind,
    size: 0,
    mode: 0,
    mtime,
    target: '',
  });
  const folders = impliedFolders(entries).map((path) => made(path, 'folder'));
  const all = [...folders, ...entries];
  if (isWhole && !entries.some(({ path }) => path === marker)) {
    await writeFile(join(staging, marker), '', { flag: 'wx' });
    all.push({ ...made(marker, 'file'), sha256: sha256OfNothing });
  }
  return Promise.all(all.map((entry) => settle(staging, entry)));
}

function impliedFolders(entries: readonly UnpackedEntry[]): string[] {
  const listed = new Set(entries.map(({ path }) => path));
  const above = entries.flatMap(({ path }) => foldersAbove(path).reverse());
  return [...new Set(above)].filter((path) => !listed.has(path));
}

async function settle(staging: string, entry: UnpackedEntry): Promise<UnpackedEntry> {
  if (entry.kind === 'symlink') return entry;
  const path = join(staging, entry.path);
  const mode = modeOf(entry);
  await chmod(path, mode);
  await utimes(path, entry.mtime, entry.mtime);
  return { ...entry, mode };
}

function modeOf({ path, kind }: UnpackedEntry): number {
  if (kind === 'folder') return path === 'ssh' ? 0o700 : 0o755;
  return path.endsWith('.pub') || path === 'wireguard/public.key' || path === marker ? 0o644 : 0o600;
}
