import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import { extract, type Header } from 'tar-stream';
import { peek } from '../../../mesh/envelope/peek.js';
import { formatByteSize } from '../../../mesh/terms/byte-size.js';
import type { Bytes } from '../../../mesh/terms/bytes.js';
import { Failure } from '../../../mesh/terms/failure.js';

export interface ArchiveEntry {
  readonly header: Header;
  readonly body: Bytes;
}

/** Below this many unpacked bytes the ratio says nothing: small files of zeros are common. */
const ratioFloor = 2 ** 30;
/** A tar archive ends with at least two blocks of zeros (POSIX.1-2017, pax, "ustar Interchange Format"). */
const endSize = 1024;
const blockSize = 512;
const chunkSize = 256 * 1024;
const notTar = 'it is no tar archive, or a damaged one';

/**
 * The entries of a tar or tar.gz, as they are written there: nothing about them has been judged yet. Each body must be
 * read before the next entry is asked for, or it is skipped.
 * @param ratio unpacked bytes for one byte of the archive, above which it is taken for a bomb
 * @param signal ends them anywhere: one member may be most of an archive
 * @throws Failure `damaged` for what is no whole archive, `invalid` for a bomb; errors of `bytes` as they are
 */
export async function* readArchive(bytes: Bytes, ratio: number, signal?: AbortSignal): AsyncGenerator<ArchiveEntry> {
  const peeked = await peek(explained(bytes, signal), 2);
  const isGzip = peeked.head[0] === 0x1f && peeked.head[1] === 0x8b;
  const plain = isGzip ? gunzip(peeked.from(0), ratio) : peeked.from(0);
  const tar = extract();
  const feeding = pipeline(Readable.from(wholeTar(plain), { objectMode: false }), tar);
  // Its error also ends the loop below, which tells it; a rejection that nobody awaits would end the process.
  feeding.catch(() => {});
  try {
    for await (const entry of tar) {
      yield { header: entry.header, body: bodyOf(entry as Bytes, feeding) };
      entry.resume();
    }
    await feeding;
  } catch (error) {
    throw asDamage(error, notTar);
  } finally {
    tar.destroy();
    await feeding.catch(() => {});
  }
}

/** When the stream behind an entry fails, its body only knows that it was cut short: the stream knows why. */
async function* bodyOf(entry: Bytes, feeding: Promise<void>): AsyncGenerator<Uint8Array> {
  try {
    yield* entry;
  } catch (error) {
    const cause = await feeding.then(
      () => error,
      (reason) => reason,
    );
    throw asDamage(cause, notTar);
  }
}

async function* gunzip(bytes: Bytes, ratio: number): AsyncGenerator<Uint8Array> {
  const stream = createGunzip({ chunkSize });
  let read = 0;
  let unpacked = 0;
  const counted = async function* (): AsyncGenerator<Uint8Array> {
    for await (const chunk of bytes) {
      read += chunk.length;
      yield chunk;
    }
  };
  const flow = pipeline(Readable.from(counted(), { objectMode: false }), stream);
  flow.catch(() => {});
  try {
    for await (const chunk of stream as AsyncIterable<Uint8Array>) {
      unpacked += chunk.length;
      if (unpacked > ratioFloor && unpacked > read * ratio) throw bomb(read, unpacked);
      yield chunk;
    }
    await flow;
  } catch (error) {
    throw asDamage(error, 'its gzip stream is damaged or cut');
  } finally {
    stream.destroy();
    await flow.catch(() => {});
  }
  if (stream.bytesWritten !== read) throw damage('something follows the end of its gzip stream');
}

/** Passes a tar on and makes sure that it has an end: one that was cut between two members looks whole otherwise. */
async function* wholeTar(bytes: Bytes): AsyncGenerator<Uint8Array> {
  let size = 0;
  let end = Buffer.alloc(0);
  for await (const chunk of bytes) {
    size += chunk.length;
    end = Buffer.concat([end, chunk.subarray(-endSize)]).subarray(-endSize);
    yield chunk;
  }
  if (size === 0) throw damage('it is empty');
  if (size % blockSize !== 0 || end.length < endSize || end.some((byte) => byte !== 0)) {
    throw damage('it was cut, or something follows its end');
  }
}

/** Makes every error of the stream itself a Failure, so that what is none comes from the formats. */
async function* explained(bytes: Bytes, signal: AbortSignal | undefined): AsyncGenerator<Uint8Array> {
  try {
    for await (const chunk of bytes) {
      signal?.throwIfAborted();
      yield chunk;
    }
  } catch (error) {
    throw Failure.from(error);
  }
}

function asDamage(error: unknown, what: string): Failure {
  return error instanceof Failure ? error : damage(what, error);
}

function damage(what: string, cause?: unknown): Failure {
  return new Failure('damaged', `the archive cannot be unpacked: ${what}`, {
    cause,
    hint: 'Nothing was written. Restore the same backup from another peer, or an older backup.',
  });
}

function bomb(read: number, unpacked: number): Failure {
  const sizes = `${formatByteSize(read)} unpack to more than ${formatByteSize(unpacked)}`;
  return new Failure('invalid', `the archive is refused: ${sizes}, which no honest archive does`, {
    hint: 'Nothing was written. If you know what is in it, allow as much as that with --max-size.',
  });
}
