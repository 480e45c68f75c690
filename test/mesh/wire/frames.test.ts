import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect, createServer, type ServerHttp2Stream } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { describe, expect, it } from 'vitest';
import { FetchBackupResponse, PushBackupRequest } from '../../../src/mesh/generated/anemone/peer/v1/peer.js';
import {
  type FrameLimits,
  framed,
  framedChunk,
  frameReader,
  type Part,
  writeFramed,
} from '../../../src/mesh/wire/frames.js';
import { peerService } from '../../../src/mesh/wire/methods.js';

/** What comes out when the bytes arrive in pieces of this size. */
function read(bytes: Buffer, piece: number, limits: FrameLimits): { parts: Part[]; whole: boolean } {
  const reader = frameReader(limits);
  const parts: Part[] = [];
  for (let at = 0; at < bytes.length; at += piece) parts.push(...reader.take(bytes.subarray(at, at + piece)));
  return { parts, whole: reader.betweenMessages };
}

/** Messages in order; chunks put together from neighbouring parts. */
function joined(parts: readonly Part[]): string[] {
  const all: { readonly chunk: boolean; bytes: Buffer }[] = [];
  for (const part of parts) {
    const last = all.at(-1);
    if ('message' in part) all.push({ chunk: false, bytes: part.message });
    else if (last?.chunk) last.bytes = Buffer.concat([last.bytes, part.bytes]);
    else all.push({ chunk: true, bytes: part.bytes });
  }
  return all.map(({ chunk, bytes }) => `${chunk ? 'chunk' : 'message'} ${bytes.toString('hex')}`);
}

describe('a chunk on the wire', () => {
  const sizes = [0, 1, 127, 128, 16_383, 16_384, 65_536, 1_048_576, 2_097_152];

  it.each(sizes)('of %i bytes is, to the byte, what the generated code would have written', (size) => {
    const chunk = randomBytes(size);
    const pushed = { part: { $case: 'chunk', value: chunk } } as const;
    const push = Buffer.concat(framed(PushBackupRequest.encode(pushed).finish()));
    expect(Buffer.concat(peerService.pushBackup.requests.toWire(pushed)).equals(push)).toBe(true);
    const response = FetchBackupResponse.decode(
      Buffer.concat(peerService.fetchBackup.responses.toWire({ chunk })).subarray(5),
    );
    expect(chunk.equals(response.chunk)).toBe(true);
  });

  it('is the only part of an upload that does not go through the generated code', () => {
    const header = { part: { $case: 'header', value: { manifestDigest: randomBytes(32), range: undefined } } } as const;
    const expected = Buffer.concat(framed(PushBackupRequest.encode(header).finish()));
    expect(Buffer.concat(peerService.pushBackup.requests.toWire(header))).toEqual(expected);
  });
});

describe('a stream of messages', () => {
  const limits = { longest: 1000, chunkField: 2 };
  const message = Buffer.from('0a03616263', 'hex');
  const chunk = randomBytes(300);
  const stream = Buffer.concat([
    ...framed(message),
    ...framedChunk(2, chunk),
    ...framedChunk(2, Buffer.of(7)),
    ...framed(Buffer.alloc(0)),
    ...framedChunk(3, Buffer.of(8)),
  ]);
  const expected = [
    `message ${message.toString('hex')}`,
    `chunk ${chunk.toString('hex')}07`,
    'message ',
    'message 1a0108',
  ];

  it.each([1, 2, 3, 5, 6, 7, 11, 64, 10_000])('is the same in pieces of %i bytes', (piece) => {
    const { parts, whole } = read(stream, piece, limits);
    expect(joined(parts)).toEqual(expected);
    expect(whole).toBe(true);
  });

  it('passes the bytes of a chunk on as they come, without waiting for the rest', () => {
    const reader = frameReader(limits);
    const [head = Buffer.alloc(0)] = framedChunk(2, chunk);
    expect(reader.take(Buffer.from(head))).toEqual([]);
    expect(reader.take(chunk.subarray(0, 10))).toEqual([{ bytes: chunk.subarray(0, 10) }]);
    expect(reader.betweenMessages).toBe(false);
  });

  it('has whole messages only, where no field is a chunk', () => {
    const { parts } = read(Buffer.concat(framedChunk(2, chunk)), 7, { longest: 1000 });
    expect(parts).toHaveLength(1);
    expect(parts[0]).toHaveProperty('message');
  });

  it.each([
    ['another field after the chunk', `120101${message.toString('hex')}`],
    ['a chunk shorter than its message', '1201ff00'],
    ['a chunk longer than its message', '12ff01'],
    ['a tag and nothing else', '12'],
    ['a length that never ends', '12ffffffffffff'],
    ['a length of zeros that never ends', '128080808080'],
    ['half of a length', '1280'],
  ])('with %s leaves it to the generated code what that means', (_what, odd) => {
    for (const piece of [1, 2, 1000]) {
      const bytes = Buffer.concat([...framed(Buffer.from(odd, 'hex')), ...framed(message)]);
      const { parts, whole } = read(bytes, piece, limits);
      expect(joined(parts)).toEqual([`message ${odd}`, `message ${message.toString('hex')}`]);
      expect(whole).toBe(true);
    }
  });

  it('has nothing of a chunk without bytes, however many its length is written in', () => {
    const empty = framed(Buffer.from('128080808000', 'hex'));
    expect(joined(read(Buffer.concat([...empty, ...framed(message)]), 2, limits).parts)).toEqual([
      `message ${message.toString('hex')}`,
    ]);
  });

  it('is refused when a message is compressed, or too long, before its bytes are taken', () => {
    expect(() => read(Buffer.from('0100000001', 'hex'), 5, limits)).toThrow(/compressed/);
    expect(() => read(Buffer.from('00000003e9', 'hex'), 5, limits)).toThrow(/1001 bytes; 1000 are allowed/);
  });

  it('that ends in the middle of a message is known to do so', () => {
    for (const end of [1, 5, 6, 9]) expect(read(stream.subarray(0, end), 3, limits).whole).toBe(false);
  });
});

it('is written before the memory of a piece of 64 KiB may be used for the next one, also to a reader that is late', async () => {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const session = connect(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  try {
    const stream = session.request({ ':method': 'POST' });
    const [arrived] = (await once(server, 'stream')) as [ServerHttp2Stream];
    const pieces = Array.from({ length: 3 }, () => randomBytes(2 ** 16));
    const lent = Buffer.alloc(2 ** 16);
    const sent = (async () => {
      for (const piece of pieces) {
        lent.set(piece);
        await writeFramed(stream, framedChunk(2, lent), new AbortController().signal);
      }
      stream.end();
    })();
    arrived.respond({ ':status': 200 });
    const expected = Buffer.concat(pieces.flatMap((piece) => framedChunk(2, piece)));
    expect((await buffer(arrived)).equals(expected)).toBe(true);
    await sent;
  } finally {
    session.destroy();
    server.close();
  }
});
