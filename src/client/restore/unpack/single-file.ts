import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { mkdir, open } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { gunzipSync, constants as zlib } from 'node:zlib';
import type { Bytes } from '../../../mesh/terms/bytes.js';
import { Failure } from '../../../mesh/terms/failure.js';
import { removeTree } from './staging.js';
import type { UnpackLimits, UnpackSummary } from './unpack.js';

/**
 * Bytes of a plaintext's beginning that tell whether it is an archive: compressed, they hold a tar header at the least; and
 * an archive of nothing, also one that GNU tar has padded to its 10 KiB, is shorter.
 */
export const archiveHead = 16_384;

/** Bytes of a tar header, and where its checksum lies (POSIX.1-2017, pax, "ustar Interchange Format"). */
const headerSize = 512;
const checksum = { offset: 148, end: 156 };

/**
 * Whether what begins so is an archive to unpack. What a command or an export gave may be anything; a gzip stream that
 * holds no tar is a file like others. A stream that is damaged within its beginning is left for the unpacker to say so.
 * @param head `archiveHead` bytes and more, or the whole
 */
export function beginsArchive(head: Uint8Array): boolean {
  const isWhole = head.length < archiveHead;
  const isGzip = head[0] === 0x1f && head[1] === 0x8b;
  if (!isGzip) return isTar(head, isWhole);
  try {
    return isTar(gunzipSync(head, { finishFlush: zlib.Z_SYNC_FLUSH }), isWhole);
  } catch {
    return true;
  }
}

/** The images of many file systems begin with zeros too: only where nothing else follows do they end an archive of nothing. */
function isTar(bytes: Uint8Array, isWhole: boolean): boolean {
  return isTarHeader(bytes) || (isWhole && isEndOfTar(bytes));
}

/** By its checksum, which every tar has. */
function isTarHeader(bytes: Uint8Array): boolean {
  const header = Buffer.from(bytes.subarray(0, headerSize));
  if (header.length < headerSize) return false;
  const stated = Number.parseInt(header.toString('latin1', checksum.offset, checksum.end).trim(), 8);
  header.fill(' ', checksum.offset, checksum.end);
  return header.reduce((total, byte) => total + byte, 0) === stated;
}

function isEndOfTar(bytes: Uint8Array): boolean {
  return bytes.length >= 2 * headerSize && bytes.length % headerSize === 0 && bytes.every((byte) => byte === 0);
}

/** `anemone-db-FR1-20261123-010000.enc` brings back `anemone-db-FR1-20261123-010000`. */
export function nameOfContent(label: string): string {
  const name = basename(label);
  return name.endsWith('.enc') || name.endsWith('.age') ? name.slice(0, -4) : `${name}.opened`;
}

/**
 * Writes a plaintext that is no archive into a new staging folder, as one file. It is durable when this resolves; when it
 * throws, the folder is gone, where it can be removed.
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
        if (size > most) throw tooLarge(name, most);
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
    await removeTree(staging).catch(() => {});
    throw Failure.from(thrown, `cannot write ${name}`);
  }
}

function tooLarge(name: string, most: number): Failure {
  return new Failure('invalid', `${name} is larger than ${most} bytes`, {
    hint: 'Nothing was written. If it may be as large as that, allow more with --max-size.',
  });
}
