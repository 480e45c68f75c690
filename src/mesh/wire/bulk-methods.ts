import type { MethodDefinition } from '@grpc/grpc-js';
import { FetchBackupResponse, PeerServiceService, PushBackupRequest } from '../generated/anemone/peer/v1/peer.js';
import { type Framed, type FrameLimits, framed, framedChunk, type Part } from './frames.js';
import { longestChunk, longestMessage } from './limits.js';

/** How the messages of one direction of a call lie in its stream. */
export interface Carriage<M> {
  readonly limits: FrameLimits;
  toWire(message: M): Framed;
  /** A chunk comes in several parts, each of which is a shorter chunk. */
  fromWire(part: Part): M;
}

/** A call over the connection that carries backups. */
export interface BulkMethod<Q, R> {
  readonly path: string;
  readonly requests: Carriage<Q>;
  readonly responses: Carriage<R>;
}

/** Numbers of the fields that carry the bytes of a backup, in `PushBackupRequest` and `FetchBackupResponse`. */
const pushedChunk = 2;
const fetchedChunk = 1;
/** Bytes that a chunk may have, with its tag and length. */
const longestChunkMessage = longestChunk + 16;

export const pushBackupMethod = {
  ...plain(PeerServiceService.pushBackup),
  requests: {
    limits: { longest: longestChunkMessage, chunkField: pushedChunk },
    toWire: (request: PushBackupRequest) =>
      request.part?.$case === 'chunk'
        ? framedChunk(pushedChunk, request.part.value)
        : framed(PushBackupRequest.encode(request).finish()),
    fromWire: (part: Part) =>
      'bytes' in part
        ? { part: { $case: 'chunk' as const, value: part.bytes } }
        : PushBackupRequest.decode(part.message),
  },
};

export const fetchBackupMethod = {
  ...plain(PeerServiceService.fetchBackup),
  responses: {
    limits: { longest: longestChunkMessage, chunkField: fetchedChunk },
    toWire: ({ chunk }: FetchBackupResponse) => framedChunk(fetchedChunk, chunk),
    fromWire: (part: Part) => ('bytes' in part ? { chunk: part.bytes } : FetchBackupResponse.decode(part.message)),
  },
};

export const fetchLeavesMethod = plain(PeerServiceService.fetchLeaves);
export const proveBackupMethod = plain(PeerServiceService.proveBackup);

function plain<Q, R>(method: MethodDefinition<Q, R>): BulkMethod<Q, R> {
  const { path, requestSerialize, requestDeserialize, responseSerialize, responseDeserialize } = method;
  return {
    path,
    requests: messages(requestSerialize, requestDeserialize),
    responses: messages(responseSerialize, responseDeserialize),
  };
}

function messages<M>(serialise: (message: M) => Uint8Array, deserialise: (bytes: Buffer) => M): Carriage<M> {
  return {
    limits: { longest: longestMessage },
    toWire: (message) => framed(serialise(message)),
    fromWire: (part) => deserialise('bytes' in part ? part.bytes : part.message),
  };
}
