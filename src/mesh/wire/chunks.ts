import type { MethodDefinition } from '@grpc/grpc-js';
import { NodeServiceService } from '../generated/anemone/node/v1/node.js';
import {
  type FetchBackupRequest,
  type FetchBackupResponse,
  type FetchLeavesRequest,
  type FetchLeavesResponse,
  PeerServiceService,
  type ProveBackupRequest,
  type ProveBackupResponse,
  PushBackupRequest,
  type PushBackupResponse,
} from '../generated/anemone/peer/v1/peer.js';

/** Longest chunk on the wire, in bytes; four leaves of the digest tree fit a stream's buffers well. */
export const chunkSize = 256 * 1024;
/** Longest chunk that is accepted, in bytes. */
export const longestChunk = 1024 * 1024;
/** Leaves that one call of ProveBackup may ask for. */
export const mostLeavesAsked = 1000;

/** Tags of the one bytes field in each message that carries a chunk: field number, and wire type 2. */
const pushChunkTag = (2 << 3) | 2;
const firstFieldTag = (1 << 3) | 2;

/**
 * The methods that carry bulk data, with serialisers that copy a chunk once instead of four times. What is not a chunk
 * goes through the generated code, and so does all that is read.
 */
export const pushBackupMethod: MethodDefinition<PushBackupRequest, PushBackupResponse> = {
  ...PeerServiceService.pushBackup,
  requestSerialize: (request: PushBackupRequest) =>
    request.part?.$case === 'chunk'
      ? bytesField(pushChunkTag, request.part.value)
      : Buffer.from(PushBackupRequest.encode(request).finish()),
};

export const fetchBackupMethod: MethodDefinition<FetchBackupRequest, FetchBackupResponse> = {
  ...PeerServiceService.fetchBackup,
  responseSerialize: serialiseFetched,
};

export const fetchLeavesMethod: MethodDefinition<FetchLeavesRequest, FetchLeavesResponse> = {
  ...PeerServiceService.fetchLeaves,
  responseSerialize: ({ hashes }: FetchLeavesResponse) => bytesField(firstFieldTag, hashes),
};

export const proveBackupMethod: MethodDefinition<ProveBackupRequest, ProveBackupResponse> = {
  ...PeerServiceService.proveBackup,
  responseSerialize: ({ leaf }: ProveBackupResponse) => bytesField(firstFieldTag, leaf),
};

/** The peer service as a node serves it. */
export const peerService = {
  ...PeerServiceService,
  pushBackup: pushBackupMethod,
  fetchBackup: fetchBackupMethod,
  fetchLeaves: fetchLeavesMethod,
  proveBackup: proveBackupMethod,
};

/** The service of a node for its own client. */
export const nodeService = {
  ...NodeServiceService,
  fetchBackup: { ...NodeServiceService.fetchBackup, responseSerialize: serialiseFetched },
};

function serialiseFetched({ chunk }: FetchBackupResponse): Buffer {
  return bytesField(firstFieldTag, chunk);
}

/** A protobuf message that is one bytes field: tag, length as a varint, bytes. */
function bytesField(tag: number, bytes: Uint8Array): Buffer {
  const header = [tag];
  let length = bytes.length;
  for (; length > 127; length >>>= 7) header.push((length & 127) | 128);
  header.push(length);
  const message = Buffer.allocUnsafe(header.length + bytes.length);
  message.set(header);
  message.set(bytes, header.length);
  return message;
}
