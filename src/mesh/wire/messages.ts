import type { Readable } from 'node:stream';
import { Failure } from '../terms/failure.js';
import { frameReader, type Part } from './frames.js';
import type { Codec } from './methods.js';
import { piecesOf } from './pieces.js';

/**
 * The messages that lie in the body of a stream, all that came at a time: what is done for each of them adds up, a chunk has
 * sixteen parts or more.
 * @throws Failure `invalid` for what is none, `unreachable` for half of one: a link that breaks may look like a clean end
 */
export async function* messagesOf<M>(body: Readable, { limits, fromWire }: Codec<M>): AsyncGenerator<readonly M[]> {
  const reader = frameReader(limits);
  const read = (part: Part): M => {
    try {
      return fromWire(part);
    } catch (cause) {
      throw new Failure('invalid', 'what came is no message of this call', { cause });
    }
  };
  for await (const pieces of piecesOf(body)) {
    const messages = pieces.flatMap((piece) => reader.take(piece).map(read));
    if (messages.length > 0) yield messages;
  }
  if (!reader.betweenMessages) throw new Failure('unreachable', 'the connection broke in the middle of a message');
}
