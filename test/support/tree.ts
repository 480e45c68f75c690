import { createHash, randomBytes } from 'node:crypto';
import type { Stats } from 'node:fs';
import { chmod, lstat, mkdir, readdir, readFile, readlink, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

/** Fills a folder with everything that a backup of a configuration has to bring back as it was. */
export async function writeConfigTree(folder: string, { large = 300_000 }: { large?: number } = {}): Promise<void> {
  const files: [path: string, content: string | Buffer, mode: number][] = [
    ['wireguard/private.key', 'a private key\n', 0o600],
    ['wireguard/public.key', 'a public key\n', 0o644],
    ['deep/er/and/deeper/app.conf', 'port = 80\n', 0o640],
    ['hooks/after-start', '#!/bin/sh\necho started\n', 0o755],
    ['empty', '', 0o644],
    ['with spaces/été à Zürich – ünïcode.txt', 'accents\n', 0o644],
    [`long/${'n'.repeat(200)}.txt`, 'a long name\n', 0o644],
    ['large.bin', randomBytes(large), 0o644],
  ];
  for (const [path, content, mode] of files) {
    await mkdir(dirname(join(folder, path)), { recursive: true });
    await writeFile(join(folder, path), content);
    await chmod(join(folder, path), mode);
  }
  await mkdir(join(folder, 'empty folder'));
  await chmod(join(folder, 'wireguard'), 0o700);
  await symlink('deep/er/and/deeper/app.conf', join(folder, 'current'));
  await symlink('../nowhere', join(folder, 'deep/dangling'));
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
