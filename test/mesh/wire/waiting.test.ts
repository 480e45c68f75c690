import { once } from 'node:events';
import { Readable } from 'node:stream';
import { expect, it } from 'vitest';
import { boundWaiting } from '../../../src/mesh/wire/waiting.js';

const window = 2 ** 20;
const highWaterMark = 2 ** 16;
const piece = Buffer.alloc(2 ** 14);

/** A stream that nobody reads, with so many bytes in it. */
function waiting(bytes: number): Readable {
  const stream = new Readable({ highWaterMark, read() {} });
  boundWaiting(stream, window);
  for (let pushed = 0; pushed < bytes; pushed += piece.length) stream.push(piece);
  return stream;
}

it('a stream takes a whole window on top of what HTTP/2 counts as taken before Node tells it to wait', () => {
  const stream = waiting(highWaterMark + window);
  expect(stream.destroyed).toBe(false);
  expect(stream.readableLength).toBe(highWaterMark + window);
});

it('a stream that is sent more than that is broken off', async () => {
  const stream = waiting(highWaterMark + window + 2 ** 16 + piece.length);
  await expect(once(stream, 'end')).rejects.toMatchObject({ message: 'more is sent than is asked for' });
});
