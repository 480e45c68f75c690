import type { Readable } from 'node:stream';
import { Failure } from '../terms/failure.js';

/** Pieces that may wait whatever their size; with more, each has to have this many bytes on average, about what it costs. */
const mostTiny = 2048;
const costOfPiece = 256;
/** Bytes of the piece with which Node has enough: what it reads from a socket at a time. */
const longestPiece = 2 ** 16;

/**
 * Breaks a stream when too much waits in it. While a stream is paused, Node takes what still comes, up to the window, and makes
 * an object of each frame: of a window of 8 MiB, frames of a byte would make a gigabyte.
 *
 * What came before Node told HTTP/2 to wait may wait on top: it counts as taken there, and the other side may send as much again.
 * @param mostBytes that the other side may send while nothing is taken
 */
export function boundWaiting(stream: Readable, mostBytes: number): void {
  const push = stream.push.bind(stream);
  const most = mostBytes + stream.readableHighWaterMark + longestPiece;
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
    if (!areTiny && stream.readableLength <= most) return more;
    stream.destroy(
      new Failure('invalid', areTiny ? 'it is sent in too many tiny pieces' : 'more is sent than is asked for'),
    );
    return false;
  };
}
