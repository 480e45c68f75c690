import { createHash } from 'node:crypto';
import type { Stats } from 'node:fs';
import { lstat, readdir, readFile, readlink } from 'node:fs/promises';
import { join } from 'node:path';

export async function* stream(bytes: Buffer, step = 65536): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += step) yield bytes.subarray(at, at + step);
}

/** Everything that a restore must bring back, one line a path: kind, mode, seconds, owner, content, link groups. */
export async function describeTree(root: string): Promise<string[]> {
  const lines: string[] = [];
  const first = new Map<number, string>();
  for (const name of (await readdir(root, { recursive: true })).sort()) {
    const path = join(root, name);
    const stats = await lstat(path);
    const joined = stats.isFile() && stats.nlink > 1 ? (first.get(stats.ino) ?? name) : '';
    first.set(stats.ino, joined);
    const mode = (stats.mode & 0o7777).toString(8);
    lines.push(
      [
        JSON.stringify(name),
        mode,
        Math.floor(stats.mtimeMs / 1000),
        stats.uid,
        await contentOf(path, stats),
        joined,
      ].join(' '),
    );
  }
  return lines;
}

async function contentOf(path: string, stats: Stats): Promise<string> {
  if (stats.isDirectory()) return 'folder';
  if (stats.isSymbolicLink()) return `-> ${await readlink(path)}`;
  return createHash('sha256')
    .update(await readFile(path))
    .digest('hex');
}
