import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { mkdir, open } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { gunzipSync, constants as zlib } from 'node:zlib';
import type { Bytes } from '../../mesh/terms/bytes.js';
import { Failure } from '../../mesh/terms/failure.js';
import { removeTree } from './staging.js';
import type { UnpackLimits, UnpackSummary } from './unpack.js';

/** Bytes of a plaintext's beginning that tell whether it is an archive: compressed, they hold a tar header at the least. */
export const archiveHead = 4096;

/** Bytes of a tar header, and where its checksum lies (POSIX.1-2017, pax, "ustar Interchange Format"). */
const headerSize = 512;
const checksum = { offset: 148, end: 156 };

/**
 * Whether what begins so is an archive to unpack. What a command or an export gave may be anything; a gzip stream that
 * holds no tar is a file like others. A stream that is damaged within its beginning is left for the unpacker to say so.
 */
export function beginsArchive(head: Uint8Array): boolean {
  const isGzip = head[0] === 0x1f && head[1] === 0x8b;
  if (!isGzip) return isTarHeader(head);
  try {
    return isTarHeader(gunzipSync(head, { finishFlush: zlib.Z_SYNC_FLUSH }));
  } catch {
    return true;
  }
}

/** By its checksum, which every tar has; or the empty block that an archive of nothing begins with. */
function isTarHeader(bytes: Uint8Array): boolean {
  const header = Buffer.from(bytes.subarray(0, headerSize));
  if (header.length < headerSize) return false;
  const stated = Number.parseInt(header.toString('latin1', checksum.offset, checksum.end).trim(), 8);
  header.fill(' ', checksum.offset, checksum.end);
  const sum = header.reduce((total, byte) => total + byte, 0);
  return sum === stated || header.every((byte, at) => byte === (at >= checksum.offset && at < checksum.end ? 32 : 0));
}

/** `anemone-db-FR1-20261123-010000.enc` brings back `anemone-db-FR1-20261123-010000`. */
export function nameOfContent(label: string): string {
  const name = basename(label);
  return name.endsWith('.enc') || name.endsWith('.age') ? name.slice(0, -4) : `${name}.opened`;
}

/**
 * Writes a plaintext that is no archive into a new staging folder, as one file. It is durable when this resolves; when it
 * throws, the folder is gone.
 * @throws Failure `invalid` when it is larger than the limit; errors of the stream as they are
 */
export async function writeSingle(
  plaintext: Bytes,
  staging: string,
  about: { readonly name: string; readonly mtime: Date },
  { limits, signal }: { readonly limits: Partial<UnpackLimits>; readonly signal: AbortSignal },
): Promise<UnpackSummary> {
  const { name, mtime } = about;
  const most = limits.bytes ?? Number.POSITIVE_INFINITY;
  await mkdir(staging, { mode: 0o700 });
  try {
    const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
    const file = await open(join(staging, name), flags, 0o600);
    try {
      const hash = createHash('sha256');
      let size = 0;
      for await (const chunk of plaintext) {
        signal.throwIfAborted();
        size += chunk.length;
        if (size > most) throw new Failure('invalid', `${name} is larger than ${most} bytes`);
        hash.update(chunk);
        await file.writeFile(chunk);
      }
      await file.utimes(mtime, mtime);
      await file.sync();
      const sha256 = hash.digest('hex');
      return {
        entries: [{ path: name, kind: 'file', size, mode: 0o600, mtime, target: '', sha256 }],
        leftOut: [],
        bytes: size,
      };
    } finally {
      await file.close();
    }
  } catch (thrown) {
    await removeTree(staging);
    throw Failure.from(thrown, `cannot write ${name}`);
  }
}
