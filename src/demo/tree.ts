import { createHash, randomBytes } from 'node:crypto';
import { chmod, lstat, mkdir, readdir, readFile, readlink, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/** Writes what a server's configuration looks like, with everything that is easily lost on the way. */
export async function plantTree(folder: string): Promise<void> {
  const put = async (path: string, content: string | Buffer, mode = 0o644): Promise<void> => {
    await mkdir(join(folder, path, '..'), { recursive: true });
    await writeFile(join(folder, path), content);
    await chmod(join(folder, path), mode);
  };
  await put('wireguard/private.key', `${randomBytes(32).toString('base64')}\n`, 0o600);
  await put('wireguard/wg0.conf', '[Interface]\nAddress = 10.8.0.1/24\nListenPort = 51820\n', 0o600);
  await put('nginx/sites/deep/er/example.conf', 'server { listen 443 ssl; }\n');
  await put('scripts/renew certificates.sh', '#!/bin/sh\necho renewed\n', 0o755);
  await put('notes/Café à la crème — été.txt', 'Names have spaces and accents.\n');
  await put('empty', '');
  await put('database/dump.sql', randomBytes(20_000_000));
  await mkdir(join(folder, 'empty folder'), { mode: 0o750 });
  await symlink('../nginx/sites', join(folder, 'notes/sites'));
  await symlink('/etc/hostname', join(folder, 'hostname'));
}

/** What makes two trees the same: for each path its kind, mode, time and content, one line each, sorted. */
export async function describeTree(folder: string): Promise<string[]> {
  const lines: string[] = [];
  const walk = async (path: string): Promise<void> => {
    const full = join(folder, path);
    const { mode, mtimeMs } = await lstat(full);
    const kind = (mode & 0o170000).toString(8);
    const bits = (mode & 0o7777).toString(8).padStart(4, '0');
    const common = `${JSON.stringify(path)} ${kind} ${bits}`;
    if (kind === '40000') {
      lines.push(common);
      for (const name of await readdir(full)) await walk(join(path, name));
    } else if (kind === '120000') {
      lines.push(`${common} -> ${await readlink(full)}`);
    } else {
      const content = createHash('sha256').update(await readFile(full));
      lines.push(`${common} ${Math.floor(mtimeMs / 1000)} ${content.digest('hex')}`);
    }
  };
  for (const name of await readdir(folder)) await walk(name);
  return lines.sort();
}
