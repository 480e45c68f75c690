import { NodeServiceDefinition } from '../generated/anemone/node/v1/node.js';
import { FetchBackupResponse, PeerServiceDefinition, PushBackupRequest } from '../generated/anemone/peer/v1/peer.js';
import { type Framed, type FrameLimits, framed, framedChunk, type Part } from './frames.js';
import { longestChunk, longestMessage } from './limits.js';

/** How the messages of one direction of a call are written to its stream, and read from it. */
export interface Codec<M> {
  readonly limits: FrameLimits;
  toWire(message: M): Framed;
  /** A chunk comes in several parts, each of which is a shorter chunk. */
  fromWire(part: Part): M;
}

/** A call that can be made, and how it lies on the wire. */
export interface Method<Q, R> {
  /** `/package.Service/Method` */
  readonly path: string;
  readonly requests: Codec<Q>;
  readonly responses: Codec<R>;
}

/** A message as the generated code has it. */
export interface MessageType<M> {
  encode(message: M): { finish(): Uint8Array };
  decode(bytes: Uint8Array): M;
}

/** A service as the generated code describes it. */
export interface ServiceDefinition {
  readonly fullName: string;
  readonly methods: Readonly<
    Record<
      string,
      {
        readonly name: string;
        // biome-ignore lint/suspicious/noExplicitAny: a message type takes its own messages only, whichever they are.
        readonly requestType: MessageType<any>;
        readonly requestStream: boolean;
        // biome-ignore lint/suspicious/noExplicitAny: see above.
        readonly responseType: MessageType<any>;
        readonly responseStream: boolean;
      }
    >
  >;
}

type MessageOf<T> = T extends MessageType<infer M> ? M : never;

type MethodsOf<S extends ServiceDefinition> = {
  readonly [K in keyof S['methods']]: Method<
    MessageOf<S['methods'][K]['requestType']>,
    MessageOf<S['methods'][K]['responseType']>
  >;
};

/** Numbers of the fields that carry the bytes of a backup, in `PushBackupRequest` and `FetchBackupResponse`. */
const pushedChunk = 2;
const fetchedChunk = 1;
/** Bytes that a chunk may have, with its tag and length. */
const longestChunkMessage = longestChunk + 16;

/** What the node answers to its own client. */
export const nodeService = methodsOf(NodeServiceDefinition);

const plainPeerService = methodsOf(PeerServiceDefinition);

/** What nodes answer to their peers. The calls that carry backups pass the bytes of a chunk on as they come. */
export const peerService = {
  ...plainPeerService,
  pushBackup: {
    ...plainPeerService.pushBackup,
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
  },
  fetchBackup: {
    ...plainPeerService.fetchBackup,
    responses: {
      limits: { longest: longestChunkMessage, chunkField: fetchedChunk },
      toWire: ({ chunk }: FetchBackupResponse) => framedChunk(fetchedChunk, chunk),
      fromWire: (part: Part) => ('bytes' in part ? { chunk: part.bytes } : FetchBackupResponse.decode(part.message)),
    },
  },
};

/** The calls of a service, by their names in the generated code. */
export function methodsOf<S extends ServiceDefinition>({ fullName, methods }: S): MethodsOf<S> {
  const entries = Object.entries(methods).map(([key, { name, requestType, responseType }]) => [
    key,
    { path: `/${fullName}/${name}`, requests: messages(requestType), responses: messages(responseType) },
  ]);
  return Object.fromEntries(entries);
}

function messages<M>(type: MessageType<M>): Codec<M> {
  return {
    limits: { longest: longestMessage },
    toWire: (message) => framed(type.encode(message).finish()),
    fromWire: (part) => type.decode('bytes' in part ? part.bytes : part.message),
  };
}
