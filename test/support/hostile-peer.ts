import { randomBytes } from 'node:crypto';
import type { Readable } from 'node:stream';
import { createServer, type TLSSocket } from 'node:tls';
import { Server, ServerCredentials, status } from '@grpc/grpc-js';
import type { HeldBackup, SignedManifest, SignedReceipt } from '../../src/mesh/generated/anemone/backup/v1/backup.js';
import {
  type ListBackupsRequest,
  type ListBackupsResponse,
  PeerServiceDefinition,
  type Range,
} from '../../src/mesh/generated/anemone/peer/v1/peer.js';
import type { ServerIdentity } from '../../src/mesh/identity/server-identity.js';
import { listenerOptions } from '../../src/mesh/identity/trust.js';
import type { Peer } from '../../src/mesh/peers/peer.js';
import { parseHostname } from '../../src/mesh/terms/hostname.js';
import { anchorPem } from './anchor.js';
import { grpcService } from './grpc.js';
import { throwawayServer } from './identities.js';

/** What a peer answers that keeps to the protocol and to nothing else. */
export interface Lies {
  /** The hostname that it claims. */
  readonly hostname?: string;
  /** The newest epoch that it claims to have seen of its caller, as a version that sends no proof of it. */
  readonly newestEpoch?: number;
  /** The certificate of the newest node key that it has seen of its caller; none without it. */
  newestCertificate?(): Buffer;
  newestBackups?(): SignedManifest[];
  /** How often it answers the question who it is, as if it never came to an end; without it, once. */
  readonly nodeAnswers?: number;
  /** Called before it says who it is. */
  met?(): void;
  /** Whole entries, as of a version that knows no others. */
  list(): readonly HeldBackup[];
  /** Instead of them, what it answers to one question. */
  listPages?(question: ListBackupsRequest): readonly Partial<ListBackupsResponse>[];
  /** The bytes that it sends from an offset on, whatever was asked for; a throw breaks the stream. */
  fetch(name: string, offset: number, length: number): Iterable<Uint8Array>;
  /**
   * The hashes of leaves that it sends, from the first one on, as of a version that knows no other beginning; null when it takes the
   * question and never answers. Without it, it is of a version that does not know this call.
   */
  leaves?(name: string): Iterable<Uint8Array> | null;
  /** The receipt that it gives to whoever offers it a backup, as if it held that already. */
  receipt?(): SignedReceipt;
  /** What it asks for of a backup that it is offered; what is sent to it, it forgets. */
  missing?(): readonly Range[];
}

export interface HostilePeer {
  readonly peer: Peer;
  readonly server: ServerIdentity;
  stop(): Promise<void>;
}

/** A peer with the right certificate and wrong answers, on 127.0.0.1. */
export async function startHostilePeer(
  name: string,
  caller: ServerIdentity,
  lies: (server: ServerIdentity) => Lies,
): Promise<HostilePeer> {
  const server = throwawayServer(name);
  const told = lies(server);
  const { hostname = name, newestEpoch = 0, nodeAnswers = 1, list, fetch, leaves, receipt, missing } = told;
  const { listPages = () => [{ backups: [...list()] }] } = told;
  const self = { hostname, version: '0', timeMs: 0, used: 0, quota: 0, free: 0, damaged: [] };
  const grpc = new Server();
  const service = grpcService(PeerServiceDefinition);
  grpc.addService({ ...service, getNode: { ...service.getNode, responseStream: true } }, {
    getNode: (call: { write(message: object): void; end(): void }) => {
      told.met?.();
      const newestCertificate = told.newestCertificate?.() ?? Buffer.alloc(0);
      const newestBackups = told.newestBackups?.() ?? [];
      const node = { ...self, newestEpochMs: newestEpoch, newestCertificate, newestBackups };
      for (let answer = 0; answer < nodeAnswers; answer += 1) call.write(node);
      // Whoever says more than was asked goes on for ever.
      if (nodeAnswers === 1) call.end();
    },
    listBackups: (call: { request: ListBackupsRequest; write(message: object): void; end(): void }) => {
      for (const page of listPages(call.request)) {
        call.write({ backups: [], manifestDigests: Buffer.alloc(0), receivedAtMs: [], ...page });
      }
      call.end();
    },
    fetchBackup: (call: {
      request: { name: string; offset: number; length: number };
      write(message: object): void;
      end(): void;
      emit(event: 'error', error: object): void;
    }) => {
      try {
        for (const chunk of fetch(call.request.name, call.request.offset, call.request.length)) call.write({ chunk });
        call.end();
      } catch {
        call.emit('error', { code: status.UNAVAILABLE, details: 'gone' });
      }
    },
    ...(receipt !== undefined && {
      offerBackup: (_call: unknown, answer: (error: null, message: object) => void) => {
        answer(null, { answer: { $case: 'held', value: receipt() } });
      },
    }),
    ...(missing !== undefined && {
      offerBackup: (_call: unknown, answer: (error: null, message: object) => void) => {
        answer(null, { answer: { $case: 'missing', value: { ranges: [...missing()] } } });
      },
      pushBackup: (call: Readable, answer: (error: null, message: object) => void) => {
        call.resume().once('end', () => answer(null, { answer: { $case: 'missing', value: { ranges: [] } } }));
      },
    }),
    ...(leaves !== undefined && {
      fetchLeaves: (call: { request: { name: string }; write(message: object): void; end(): void }) => {
        const answer = leaves(call.request.name);
        if (answer === null) return;
        for (const hashes of answer) call.write({ hashes, first: 0 });
        call.end();
      },
    }),
  } as never);
  const injector = grpc.createConnectionInjector(ServerCredentials.createInsecure());
  // It has OpenSSL prove who calls, as version 0.1.0 did.
  const asOfVersion010 = { ...listenerOptions(server), ca: anchorPem(caller.identity), rejectUnauthorized: true };
  const sockets = new Set<TLSSocket>();
  const listener = createServer(asOfVersion010, (socket) => {
    sockets.add(socket.on('error', () => {}).once('close', () => sockets.delete(socket)));
    injector.injectConnection(socket);
  });
  const port = await new Promise<number>((resolve) => {
    listener.listen(0, '127.0.0.1', () => resolve((listener.address() as { port: number }).port));
  });
  return {
    peer: { name: parseHostname(name), address: { host: '127.0.0.1', port }, identity: server.identity },
    server,
    async stop() {
      listener.close();
      injector.destroy();
      grpc.forceShutdown();
      // A session that is ended while it writes leaves its socket open.
      for (const socket of sockets) socket.destroy();
    },
  };
}

/** Bytes that nobody has asked for. */
export function garbage(size: number): Buffer {
  return randomBytes(size);
}
