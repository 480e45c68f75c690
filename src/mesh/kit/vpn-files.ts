import { readdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { stringify } from 'yaml';
import type { Config } from '../config/config.js';
import { readDocument } from '../config/document.js';
import { readSmallFile } from '../files/read-small-file.js';
import { type MissingVpn, mostVpnFiles, type VpnFile, yamlOfKit } from './kit.js';

/** A WireGuard configuration has some hundred bytes; one with certificates inside has some thousand. */
const largestFile = 65_536;
/** What all of them together may take of a kit, which is a third more when they are sealed, in armor. */
const mostRoom = 524_288;

export interface FoundVpn {
  readonly files: readonly VpnFile[];
  readonly missing: readonly MissingVpn[];
}

/**
 * The VPN configuration of this machine: the files that `vpn.config` names, or every `wireguard/*.conf` beside the
 * configuration and every `/etc/wireguard/*.conf`. What cannot be read is told, and stops nothing.
 */
export async function findVpn({ file, vpn }: Pick<Config, 'file' | 'vpn'>): Promise<FoundVpn> {
  const missing: MissingVpn[] = [];
  const paths = vpn.config ?? (await usualPlaces(dirname(file), missing));
  const files: VpnFile[] = [];
  let room = mostRoom;
  for (const path of [...new Set(paths)]) {
    const read = files.length < mostVpnFiles ? await readVpnFile(path) : `a kit holds ${mostVpnFiles} files at most`;
    if (typeof read === 'string') missing.push({ path, reason: read });
    else if (roomFor(read) > room) missing.push({ path, reason: 'the kit has no room left for it' });
    else {
      files.push(read);
      room -= roomFor(read);
    }
  }
  return { files, missing };
}

/** Each line of it is indented in a kit. */
function roomFor({ size, content }: VpnFile): number {
  return size + 6 * content.split('\n').length;
}

async function usualPlaces(besideConfig: string, missing: MissingVpn[]): Promise<string[]> {
  const found: string[] = [];
  for (const folder of [join(besideConfig, 'wireguard'), '/etc/wireguard']) {
    try {
      const names = await readdir(folder);
      found.push(
        ...names
          .filter((name) => name.endsWith('.conf'))
          .sort()
          .map((name) => join(folder, name)),
      );
    } catch (thrown) {
      const error = thrown as NodeJS.ErrnoException;
      if (error.code !== 'ENOENT' && error.code !== 'ENOTDIR') missing.push({ path: folder, reason: inWords(error) });
    }
  }
  return found;
}

/** A file, or why it cannot be in a kit. */
async function readVpnFile(path: string): Promise<VpnFile | string> {
  try {
    const bytes = await readSmallFile(path, { most: largestFile, follow: true });
    const content = bytes.toString('utf8');
    if (!Buffer.from(content).equals(bytes) || content.includes('\0')) return 'it is not a text';
    if (!readsBack(content)) return 'it would not come out of a kit as it is';
    return { path, size: bytes.length, content };
  } catch (thrown) {
    return inWords(thrown as NodeJS.ErrnoException);
  }
}

/** A kit is YAML, whose reader takes no text for what it is not, and no nesting that a configuration does not have. */
function readsBack(content: string): boolean {
  const read = readDocument(stringify([{ content }], yamlOfKit));
  return read.problems.length === 0 && (read.value as { content?: unknown }[])[0]?.content === content;
}

/** The reason of what another user may be able to read. */
export const unreadable = 'this user may not read it';

function inWords({ code, message }: NodeJS.ErrnoException): string {
  if (code === 'ENOENT') return 'it is not there';
  if (code === 'NOT_A_FILE' || code === 'TOO_LARGE') return message;
  return code === 'EACCES' ? unreadable : `it cannot be read (${code})`;
}
