import { once } from 'node:events';
import { createReadStream, createWriteStream } from 'node:fs';
import { open, rename, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { connect, createServer, type TLSSocket } from 'node:tls';
import { certificatePem } from '../../../src/mesh/identity/node-certificate.js';
import { deriveKeys, generateRecoveryKey } from '../../../src/mesh/identity/recovery-key.js';
import { makeServerIdentity, nodeKeyPem } from '../../../src/mesh/identity/server-identity.js';

// The limit that a transfer in Node can reach: one TLS 1.3 socket between two files, and nothing else. Each connection
// carries one file, after one line of JSON that says which.

const chunk = 2 ** 20;

interface Order {
  readonly put: boolean;
  readonly path: string;
  readonly size: number;
}

export interface BareTransfer {
  readonly host: string;
  readonly port: number;
  /** Here. */
  readonly local: string;
  /** There. */
  readonly remote: string;
}

export const bareTasks = {
  async bareServe({ host, port }: { readonly host: string; readonly port: number }): Promise<null> {
    const identity = makeServerIdentity(deriveKeys(generateRecoveryKey()), 'bare', 1);
    const [key, cert] = [nodeKeyPem(identity), certificatePem(identity.certificate.der)];
    const server = createServer({ key, cert, minVersion: 'TLSv1.3' }, (socket) => {
      socket.on('error', () => {});
      serve(socket).catch(() => socket.destroy());
    });
    server.listen({ host, port });
    await once(server, 'listening');
    return null;
  },

  /** Resolves when the file is durable there. */
  async barePush({ local, remote, ...at }: BareTransfer): Promise<null> {
    const { size } = await stat(local);
    const socket = await dial(at);
    send(socket, { put: true, path: remote, size });
    await pipeline(createReadStream(local, { highWaterMark: chunk }), socket, { end: false });
    await once(socket, 'data');
    socket.destroy();
    return null;
  },

  /** Resolves when the file is durable here. */
  async bareFetch({ local, remote, ...at }: BareTransfer): Promise<null> {
    const socket = await dial(at);
    send(socket, { put: false, path: remote, size: 0 });
    await store(socket, local);
    return null;
  },
};

async function dial({ host, port }: { readonly host: string; readonly port: number }): Promise<TLSSocket> {
  const socket = connect({ host, port, rejectUnauthorized: false, minVersion: 'TLSv1.3' });
  await once(socket, 'secureConnect');
  return socket;
}

function send(socket: TLSSocket, order: Order): void {
  socket.write(`${JSON.stringify(order)}\n`);
}

async function serve(socket: TLSSocket): Promise<void> {
  const { put, path, size } = await readOrder(socket);
  if (put) {
    await store(take(socket, size), path);
    socket.write('kept');
  } else {
    await pipeline(createReadStream(path, { highWaterMark: chunk }), socket);
  }
}

async function readOrder(socket: TLSSocket): Promise<Order> {
  let head = Buffer.alloc(0);
  while (true) {
    const end = head.indexOf('\n');
    if (end !== -1) {
      if (end + 1 < head.length) socket.unshift(head.subarray(end + 1));
      return JSON.parse(head.subarray(0, end).toString());
    }
    if (socket.readableLength === 0) await once(socket, 'readable');
    head = Buffer.concat([head, socket.read() ?? Buffer.alloc(0)]);
  }
}

async function* take(socket: TLSSocket, size: number): AsyncGenerator<Buffer> {
  let left = size;
  for await (const part of socket.iterator({ destroyOnReturn: false })) {
    yield part;
    left -= part.length;
    if (left === 0) return;
  }
}

async function store(bytes: AsyncIterable<Buffer>, path: string): Promise<void> {
  const temporary = `${path}.tmp`;
  await pipeline(bytes, createWriteStream(temporary, { highWaterMark: chunk, flush: true }));
  await rename(temporary, path);
  const folder = await open(dirname(path), 'r');
  await folder.sync();
  await folder.close();
}
