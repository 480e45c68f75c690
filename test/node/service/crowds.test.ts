import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { type ClientHttp2Session, connect as connectHttp2 } from 'node:http2';
import { connect, type Socket } from 'node:net';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ServerReflectionDefinition } from '../../../src/mesh/generated/grpc/reflection/v1/reflection.js';
import { anchorPem, certificatePem } from '../../../src/mesh/identity/node-certificate.js';
import { nodeKeyPem, type ServerIdentity } from '../../../src/mesh/identity/server-identity.js';
import { getNode } from '../../../src/mesh/peers/get-node.js';
import { pushBackup } from '../../../src/mesh/peers/push-backup.js';
import { framed } from '../../../src/mesh/wire/frames.js';
import { methodsOf, peerService } from '../../../src/mesh/wire/methods.js';
import { throwawayServer } from '../../support/identities.js';
import { manifestOf } from '../../support/manifests.js';
import { type PeerNode, peerConfig, startPeerNode } from '../../support/peer-node.js';
import { frameTypes, type RawHttp2, rawHttp2 } from '../../support/raw-http2.js';

const fr1 = throwawayServer('FR1');
const bad = throwawayServer('BAD');
const sockets: Socket[] = [];
let node: PeerNode;
beforeEach(async () => {
  node = await startPeerNode({ peers: [peerConfig('FR1', fr1), peerConfig('BAD', bad)] });
});
afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  await node.stop();
});

function kept<T extends Socket>(socket: T): T {
  sockets.push(socket);
  socket.on('error', () => {});
  return socket;
}

function openTls(caller: ServerIdentity): TLSSocket {
  return kept(
    connectTls({
      ...node.address,
      key: nodeKeyPem(caller),
      cert: certificatePem(caller.certificate.der),
      ca: anchorPem(node.server.identity),
      ALPNProtocols: ['h2'],
      checkServerIdentity: () => undefined,
      servername: 'anemone-peer',
    }),
  );
}

const closing = (socket: Socket) => new Promise<void>((resolve) => socket.once('close', () => resolve()));
const refusals = (event: string) => node.log.events.filter((line) => line.event === event);
const answers = async () => expect((await getNode(node.callAs(fr1))).hostname).toBe('FR2');

describe('a crowd of strangers', () => {
  it('is refused with one line in the log, and a peer is served meanwhile', async () => {
    const stranger = throwawayServer('STRANGER');
    const gone = Array.from({ length: 100 }, () => closing(openTls(stranger).resume()));
    await answers();
    await Promise.all(gone);
    expect(refusals('stranger refused')).toHaveLength(1);
  });

  it('that says nothing keeps no peer out, also one that comes from the same address', async () => {
    const silent = Array.from({ length: 100 }, () => kept(connect(node.address.port, node.address.host).resume()));
    await Promise.all(silent.slice(0, 30).map(closing));
    await answers();
    expect(silent.at(-1)?.closed).toBe(false);
    expect(refusals('stranger refused')).toHaveLength(1);
  });

  it('does not keep the node from stopping', async () => {
    const silent = kept(connect(node.address.port, node.address.host).resume());
    const gone = closing(silent);
    await answers();
    await node.stop();
    await gone;
    node = await startPeerNode();
  });
});

describe('one peer', () => {
  it('has no more than 64 connections, and keeps no other out', async () => {
    const opened = Array.from({ length: 70 }, () => openTls(bad).resume());
    await Promise.race(opened.map(closing));
    await answers();
    const [line] = refusals('connection refused');
    expect(line?.fields).toMatchObject({ reason: expect.stringContaining('64 connections') });
  });

  it('has no more than 64 calls under way, over all of its connections, and is told to wait', async () => {
    const sessions: ClientHttp2Session[] = Array.from({ length: 2 }, () =>
      connectHttp2('https://anemone-peer', { createConnection: () => openTls(bad) }).on('error', () => {}),
    );
    const open = (session: ClientHttp2Session) => {
      const stream = session.request({
        ':method': 'POST',
        ':path': '/anemone.peer.v1.PeerService/PushBackup',
        'content-type': 'application/grpc',
        te: 'trailers',
      });
      stream.on('error', () => {});
      return stream;
    };
    const streams = Array.from({ length: 65 }, (_, nth) => open(sessions[nth % 2] as ClientHttp2Session));
    const refused = await Promise.race(
      streams.map(
        (stream) =>
          new Promise<unknown>((resolve) => stream.once('response', (headers) => resolve(headers['grpc-message']))),
      ),
    );
    expect(decodeURIComponent(String(refused))).toContain('64 calls under way');
    await answers();

    const ended = new Promise((resolve) => streams[0]?.once('close', resolve));
    for (const stream of streams) stream.close(8);
    await ended;
    await expect(getNode(node.callAs(bad))).resolves.toMatchObject({ hostname: 'FR2' });
    for (const session of sessions) session.destroy();
  });
});

describe('a peer that takes no answer, and sends on', () => {
  async function takesNothing(): Promise<RawHttp2> {
    const socket = openTls(bad);
    await once(socket, 'secureConnect');
    return rawHttp2(socket, 0);
  }
  const tiny = Array.from({ length: 5_000 }, () => Buffer.of(0));

  it('after the one request of a call, has it thrown away', async () => {
    const content = randomBytes(1_000_000);
    const manifest = manifestOf(content, bad.signer, { owner: 'BAD' });
    await pushBackup(node.callAs(bad), manifest, {
      async *read(offset, length) {
        yield content.subarray(offset, offset + length);
      },
    });
    const { path, requests } = peerService.fetchBackup;
    const peer = await takesNothing();
    peer.call(1, path);
    const whole = { name: manifest.facts.name, offset: 0, length: 0, manifestDigest: Buffer.alloc(0) };
    peer.data(1, Buffer.concat(requests.toWire(whole)));
    await peer.until(frameTypes.headers, 1);
    // What is only kept leaves the window as it is; it is made larger again when half of it was used.
    for (let sent = 0; sent < 6; sent += 1) peer.data(1, Buffer.alloc(2 ** 20));
    await peer.until(frameTypes.windowUpdate, 1);
    await answers();
  });

  it('in tiny frames, has its call broken off before very many of them wait', async () => {
    const { path, requests } = methodsOf(ServerReflectionDefinition).serverReflectionInfo;
    const question = { $case: 'fileContainingSymbol', value: 'anemone.peer.v1.PeerService' } as const;
    const peer = await takesNothing();
    peer.call(1, path);
    peer.data(
      1,
      ...Array.from({ length: 10 }, () => Buffer.concat(requests.toWire({ host: '', messageRequest: question }))),
    );
    await peer.until(frameTypes.headers, 1);
    peer.data(1, ...framed(Buffer.alloc(5)), ...tiny);
    await peer.until(frameTypes.rstStream, 1);
    await answers();
  });

  it('more than it may while nobody reads it, has its call broken off', async () => {
    const { path, requests } = methodsOf(ServerReflectionDefinition).serverReflectionInfo;
    const question = { $case: 'fileContainingSymbol', value: 'anemone.peer.v1.PeerService' } as const;
    const peer = await takesNothing();
    peer.call(1, path);
    peer.data(
      1,
      ...Array.from({ length: 10 }, () => Buffer.concat(requests.toWire({ host: '', messageRequest: question }))),
    );
    await peer.until(frameTypes.headers, 1);
    for (let sent = 0; sent < 6; sent += 1) peer.data(1, Buffer.alloc(2 ** 20));
    await peer.until(frameTypes.rstStream, 1);
    await answers();
  });

  it('to a call that is answered by others, has a long message refused before it comes', async () => {
    const peer = await takesNothing();
    peer.call(1, '/grpc.health.v1.Health/Check');
    const [prefix = Buffer.alloc(0)] = framed(Buffer.alloc(100_000));
    peer.data(1, prefix, ...tiny);
    await peer.until(frameTypes.headers, 1);
    await answers();
  });
});
