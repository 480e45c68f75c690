import type { Readable } from 'node:stream';

/** Pieces that wait to be read before the stream is told to pause; over TLS each has at most 16 KiB. */
const mostWaiting = 64;

/**
 * What a stream brings, in the very buffers in which it came, all that are there at a time. Iterating over a Readable would put
 * them together first, which copies every byte of whoever is a little slower than the network.
 *
 * Leaving early leaves the stream open: there may be something to be said over it yet. What still comes is thrown away, since a
 * stream that is only paused takes it in.
 * @throws what broke the stream; an Error also when it was closed before its end
 */
export async function* piecesOf(stream: Readable): AsyncGenerator<readonly Buffer[]> {
  let waiting: Buffer[] = [];
  /** How the stream ended, once it has. */
  const endings: (Error | null)[] = [];
  let wake = (): void => {};
  /** After all that this turn of the event loop brings: each piece comes by a callback of its own. */
  const wakeLater = (): void => void setImmediate(() => wake());
  const take = (piece: Buffer): void => {
    waiting.push(piece);
    if (waiting.length >= mostWaiting) stream.pause();
    if (waiting.length === 1) wakeLater();
  };
  const finish = (broken: Error | null): void => {
    endings.push(broken);
    wakeLater();
  };
  const end = (): void => finish(null);
  const close = (): void => finish(new Error('closed before its end'));
  stream.on('data', take).once('end', end).once('error', finish).once('close', close);
  if (stream.destroyed) close();
  try {
    while (true) {
      if (waiting.length > 0) {
        const pieces = waiting;
        waiting = [];
        yield pieces;
        stream.resume();
      } else if (endings.length > 0) {
        const [broken = null] = endings;
        if (broken === null) return;
        throw broken;
      } else {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    }
  } finally {
    stream.off('data', take).off('end', end).off('error', finish).off('close', close);
    stream.resume();
  }
}
