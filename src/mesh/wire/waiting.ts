import type { Readable } from 'node:stream';
import { Failure } from '../terms/failure.js';

/** Pieces that may wait whatever their size; with more, each has to have this many bytes on average, about what it costs. */
const mostTiny = 2048;
const costOfPiece = 256;

/**
 * Breaks a stream when too much waits in it. While a stream is paused, Node takes what still comes, up to the window, and makes
 * an object of each frame: of a window of 8 MiB, frames of a byte would make a gigabyte.
 * @param mostBytes that may wait
 */
export function boundWaiting(stream: Readable, mostBytes: number): void {
  const push = stream.push.bind(stream);
  /** Since nothing waited. */
  let pieces = 0;
  let bytes = 0;
  stream.push = (piece: Uint8Array | null) => {
    if (stream.readableLength === 0) {
      pieces = 0;
      bytes = 0;
    }
    pieces += 1;
    bytes += piece?.length ?? 0;
    const more = push(piece);
    const areTiny = pieces > mostTiny + bytes / costOfPiece;
    if (!areTiny && stream.readableLength <= mostBytes) return more;
    stream.destroy(
      new Failure('invalid', areTiny ? 'it is sent in too many tiny pieces' : 'more is sent than is asked for'),
    );
    return false;
  };
}
