import { createHash, randomBytes } from 'node:crypto';
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

/** A folder in words that can be compared: each path with its kind, mode, and content or target. */
export async function describeTree(folder: string, below = ''): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  for (const name of (await readdir(join(folder, below))).sort()) {
    const path = join(below, name);
    const full = join(folder, path);
    const facts = await lstat(full);
    const mode = (facts.mode & 0o7777).toString(8);
    if (facts.isSymbolicLink()) found[path] = `link to ${await readlink(full)}`;
    else if (facts.isDirectory()) Object.assign(found, { [path]: `folder ${mode}` }, await describeTree(folder, path));
    else
      found[path] = `file ${mode} ${createHash('sha256')
        .update(await readFile(full))
        .digest('hex')}`;
  }
  return found;
}
