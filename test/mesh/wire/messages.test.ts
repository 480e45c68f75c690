import { PassThrough } from 'node:stream';
import { describe, expect, it } from 'vitest';
import type { PushBackupRequest } from '../../../src/mesh/generated/anemone/peer/v1/peer.js';
import { messagesOf } from '../../../src/mesh/wire/messages.js';
import { peerService } from '../../../src/mesh/wire/methods.js';

const { requests } = peerService.pushBackup;
const chunk = (bytes: string): PushBackupRequest => ({ part: { $case: 'chunk', value: Buffer.from(bytes) } });
const end: PushBackupRequest = { part: { $case: 'end', value: {} } };

const write = (stream: PassThrough, ...messages: PushBackupRequest[]): void => {
  for (const message of messages) for (const piece of requests.toWire(message)) stream.write(piece);
};
const said = (messages: readonly PushBackupRequest[]): string[] =>
  messages.map(({ part }) => (part?.$case === 'chunk' ? part.value.toString() : String(part?.$case)));

describe('the messages of a stream', () => {
  it('come together, all that are there at a time, and later ones later', async () => {
    const stream = new PassThrough();
    write(stream, chunk('one'), chunk('two'));
    const messages = messagesOf(stream, requests);
    expect(said((await messages.next()).value)).toEqual(['one', 'two']);
    const later = messages.next();
    write(stream, chunk('three'));
    // A callback of its own within the same turn of the event loop, as for each piece that a socket brings.
    await new Promise((resolve) => process.nextTick(resolve));
    write(stream, end);
    stream.end();
    expect(said((await later).value)).toEqual(['three', 'end']);
    expect((await messages.next()).done).toBe(true);
  });

  it('come before the error that breaks the stream', async () => {
    const stream = new PassThrough();
    const messages = messagesOf(stream, requests);
    const first = messages.next();
    write(stream, chunk('one'));
    stream.destroy(new Error('the link broke'));
    expect(said((await first).value)).toEqual(['one']);
    await expect(messages.next()).rejects.toThrow('the link broke');
  });

  it('end with a broken connection when the last one is only begun', async () => {
    const stream = new PassThrough();
    const [head] = requests.toWire(chunk('one'));
    stream.end(head);
    await expect(messagesOf(stream, requests).next()).rejects.toMatchObject({ kind: 'unreachable', retryable: true });
  });
});
