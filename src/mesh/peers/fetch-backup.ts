import { callServerStream } from '../wire/calls.js';
import { peerService } from '../wire/methods.js';
import type { Channels } from './connection.js';

/** Bytes of a backup; a length of 0 means up to the end. */
export interface ByteRange {
  readonly offset: number;
  readonly length: number;
}

/**
 * Bytes of a backup as a peer, or the own node, sends them. They are not verified: whoever takes them compares
 * them with the signed manifest.
 * @param manifestDigest for a backup of another server, of which this one had a copy
 */
export async function* fetchBackup(
  { bulk }: Channels,
  name: string,
  range: ByteRange,
  signal?: AbortSignal,
  manifestDigest: Uint8Array = new Uint8Array(),
): AsyncGenerator<Uint8Array> {
  const request = { name, ...range, manifestDigest };
  for await (const messages of callServerStream(bulk, peerService.fetchBackup, request, signal)) {
    const [first, ...others] = messages.map(({ chunk }) => chunk).filter((chunk) => chunk.length > 0);
    if (first !== undefined) yield others.length === 0 ? first : Buffer.concat([first, ...others]);
  }
}
