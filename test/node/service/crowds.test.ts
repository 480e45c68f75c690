import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect as connectHttp2,
  type IncomingHttpHeaders,
} from 'node:http2';
import { connect, type Socket } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { setImmediate } from 'node:timers/promises';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { PushBackupRequest } from '../../../src/mesh/generated/anemone/peer/v1/peer.js';
import { ServerReflectionDefinition } from '../../../src/mesh/generated/grpc/reflection/v1/reflection.js';
import { visitorEpoch } from '../../../src/mesh/identity/node-certificate.js';
import { deriveKeys, generateRecoveryKey } from '../../../src/mesh/identity/recovery-key.js';
import { makeServerIdentity, type ServerIdentity } from '../../../src/mesh/identity/server-identity.js';
import { callerOptions } from '../../../src/mesh/identity/trust.js';
import type { Connection } from '../../../src/mesh/peers/connection.js';
import { fetchBackup } from '../../../src/mesh/peers/fetch-backup.js';
import { getNode } from '../../../src/mesh/peers/get-node.js';
import { listBackups } from '../../../src/mesh/peers/list-backups.js';
import { offerBackup } from '../../../src/mesh/peers/offer-backup.js';
import { pushBackup } from '../../../src/mesh/peers/push-backup.js';
import { framed } from '../../../src/mesh/wire/frames.js';
import { methodsOf, peerService } from '../../../src/mesh/wire/methods.js';
import { FakeClock } from '../../support/fake-clock.js';
import { throwawayServer } from '../../support/identities.js';
import { manifestOf } from '../../support/manifests.js';
import { type PeerNode, peerConfig, startPeerNode } from '../../support/peer-node.js';
import { frameTypes, type RawHttp2, rawHttp2 } from '../../support/raw-http2.js';
import { reading } from '../../support/reading.js';

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

function openTls(caller: ServerIdentity, { address } = node): TLSSocket {
  return kept(connectTls({ ...address, ...callerOptions(caller) }));
}

const openHttp2 = (caller: ServerIdentity, called = node): ClientHttp2Session =>
  connectHttp2('https://anemone-peer', { createConnection: () => openTls(caller, called) }).on('error', () => {});

function openCall(session: ClientHttp2Session, method: string): ClientHttp2Stream {
  const stream = session.request({
    ':method': 'POST',
    ':path': `/anemone.peer.v1.PeerService/${method}`,
    'content-type': 'application/grpc',
    te: 'trailers',
  });
  return stream.on('error', () => {});
}

const closing = (socket: Socket) => new Promise<void>((resolve) => socket.once('close', () => resolve()));
const refusals = (event: string) => node.log.all.filter((line) => line.event === event);
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
    const sessions = Array.from({ length: 2 }, () => openHttp2(bad));
    const streams = Array.from({ length: 65 }, (_, nth) =>
      openCall(sessions[nth % 2] as ClientHttp2Session, 'PushBackup'),
    );
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

it('a call that is refused again and again is one line of the log a minute', async () => {
  const clock = new FakeClock();
  const patient = await startPeerNode({ peers: [peerConfig('BAD', bad)], clock });
  const connection = patient.callAs(bad);
  const { name } = manifestOf(Buffer.alloc(1), bad.signer, { owner: 'BAD' }).facts;
  const whole = { offset: 0, length: 0 };
  for (let nth = 0; nth < 20; nth += 1)
    await expect(buffer(fetchBackup(connection, name, whole))).rejects.toMatchObject({ kind: 'not-found' });
  const lines = () =>
    patient.log.all.flatMap(({ event, fields }) => (event === 'call refused' ? [fields['times']] : []));
  expect(lines()).toEqual([undefined]);
  await clock.advance(60_000);
  expect(lines()).toEqual([undefined, 19]);
  await patient.stop();
});

describe('one peer that issues itself one node key after the other', () => {
  const keys = deriveKeys(generateRecoveryKey());
  const selves = Array.from({ length: 3 }, () => makeServerIdentity(keys, 'BAD', visitorEpoch));
  beforeEach(() => node.follow([peerConfig('FR1', fr1), peerConfig('BAD', selves[0] as ServerIdentity)]));

  it('has no more than 128 connections', async () => {
    const opened = selves.flatMap((self) => Array.from({ length: 60 }, () => openTls(self).resume()));
    await Promise.race(opened.map(closing));
    await answers();
    const [line] = refusals('connection refused');
    expect(line?.fields).toMatchObject({ reason: expect.stringContaining('128 connections') });
  });

  it('has no more than 128 calls under way', async () => {
    const sessions = selves.map((self) => openHttp2(self));
    const calls = sessions.flatMap((session) => Array.from({ length: 60 }, () => openCall(session, 'GetNode')));
    const [head] = (await Promise.race(calls.map((call) => once(call, 'response')))) as [IncomingHttpHeaders];
    expect(decodeURIComponent(String(head['grpc-message']))).toContain('128 calls under way');
    await answers();
    for (const session of sessions) session.destroy();
  });
});

describe('a server that was rebuilt', () => {
  const keys = deriveKeys(generateRecoveryKey());
  const [stolen, rebuilt, visitor] = [1000, 2000, visitorEpoch].map((epoch) =>
    makeServerIdentity(keys, 'FR1', epoch),
  ) as [ServerIdentity, ServerIdentity, ServerIdentity];
  const everything = { owner: '', set: '' };
  beforeEach(async () => {
    node.follow([peerConfig('FR1', stolen), peerConfig('BAD', bad)]);
    await listBackups(node.callAs(stolen), everything);
  });

  async function bothAreServed(): Promise<void> {
    expect(await listBackups(node.callAs(visitor), everything)).toEqual([]);
    expect(await listBackups(node.callAs(rebuilt), everything)).toEqual([]);
  }

  it('is not kept out by the connections of whoever stole its predecessor, and has them closed', async () => {
    const opened = Array.from({ length: 63 }, () => openTls(stolen));
    // A node greets over HTTP/2 whoever it has let in.
    await Promise.all(opened.map((socket) => once(socket, 'data')));
    const gone = Promise.all(opened.map(closing));
    const guest = openTls(visitor).resume();
    await bothAreServed();
    await gone;
    expect(guest.closed).toBe(false);
  });

  it('is not kept out by two keys that were stolen', async () => {
    const again = makeServerIdentity(keys, 'FR1', 1500);
    const last = node.callAs(again);
    await listBackups(last, everything);
    last.close();
    const sessions = [stolen, again].flatMap((thief) => Array.from({ length: 2 }, () => openHttp2(thief, node)));
    const calls = sessions.flatMap((session) => Array.from({ length: 33 }, () => openCall(session, 'GetNode')));
    for (const ofOneKey of [calls.slice(0, 66), calls.slice(66)])
      await Promise.race(ofOneKey.map((call) => once(call, 'response')));
    const opened = [stolen, again].flatMap((thief) => Array.from({ length: 62 }, () => openTls(thief).resume()));
    await Promise.all(opened.map((socket) => Promise.race([once(socket, 'data'), closing(socket)])));
    await bothAreServed();
    for (const session of sessions) session.destroy();
  });

  it('is not kept out by calls of whoever stole its predecessor', async () => {
    const sessions = Array.from({ length: 2 }, () => openHttp2(stolen));
    const calls = Array.from({ length: 65 }, (_, nth) => openCall(sessions[nth % 2] as ClientHttp2Session, 'GetNode'));
    await Promise.race(calls.map((call) => once(call, 'response')));
    await bothAreServed();
  });
});

const { path: known } = peerService.listBackups;
const unknown = '/anemone.peer.v1.PeerService/Nothing';
it.each([
  ['are broken off without an error', known, 0],
  ['are cancelled', known, 8],
  ['are broken off with an error', known, 2],
  ['nobody knows and are broken off without an error', unknown, 0],
  ['nobody knows and are cancelled', unknown, 8],
  ['nobody knows and are broken off with an error', unknown, 2],
])('calls that %s as they begin, by the thousand, do no harm to the node or its log', async (_, path, code) => {
  const socket = openTls(bad);
  await once(socket, 'secureConnect');
  const gone = closing(socket);
  const peer = rawHttp2(socket, 0);
  socket.cork();
  for (let stream = 1; stream < 4000; stream += 2) {
    peer.call(stream, path);
    peer.data(stream, ...framed(Buffer.alloc(0)));
    peer.reset(stream, code);
  }
  peer.ping();
  socket.uncork();
  // Its connection may be cut for it, with calls in it that nobody has looked at yet.
  await Promise.race([gone, peer.until(frameTypes.ping, 0)]);
  await answers();
  expect(node.log.all.filter(({ level }) => level === 'error')).toEqual([]);
});

it('a call whose request does not come is given up after 10 s', async () => {
  const clock = new FakeClock();
  const patient = await startPeerNode({ peers: [peerConfig('BAD', bad)], clock });
  const others = clock.pending();
  const session = openHttp2(bad, patient);
  const call = openCall(session, 'GetNode');
  const gone = new Promise((resolve) => call.once('close', resolve));
  while (clock.pending() === others) await setImmediate();
  await clock.advance(9_999);
  expect(call.closed).toBe(false);
  await clock.advance(1);
  await gone;
  session.destroy();
  await patient.stop();
});

describe('a peer that takes no answer, and sends on', () => {
  async function takesNothing(caller = bad, called = node): Promise<RawHttp2> {
    const socket = openTls(caller, called);
    await once(socket, 'secureConnect');
    return rawHttp2(socket, 0);
  }
  const tiny = Array.from({ length: 5_000 }, () => Buffer.of(0));

  const large = randomBytes(1_000_000);
  async function pushLarge(connection: Connection, owner: ServerIdentity, hostname: string): Promise<string> {
    const manifest = manifestOf(large, owner.signer, { owner: hostname });
    await pushBackup(connection, manifest, reading(large));
    return manifest.facts.name;
  }

  /** Has a peer push a backup and ask for it so often that it could be all that are read at a time. */
  async function stall(called: PeerNode, owner: string, caller: ServerIdentity, calls: number): Promise<RawHttp2> {
    const { path, requests } = peerService.fetchBackup;
    const name = await pushLarge(called.callAs(caller), caller, owner);
    const whole = { name, offset: 0, length: 0, manifestDigest: Buffer.alloc(0) };
    const peer = await takesNothing(caller, called);
    for (let nth = 0; nth < calls; nth += 1) {
      peer.call(2 * nth + 1, path);
      peer.data(2 * nth + 1, Buffer.concat(requests.toWire(whole)));
    }
    return peer;
  }

  it('leaves others enough of what may be read at a time', async () => {
    const us1 = throwawayServer('US1');
    node.follow([peerConfig('FR1', fr1), peerConfig('BAD', bad), peerConfig('US1', us1)]);
    for (const [name, caller] of [
      ['FR1', fr1],
      ['BAD', bad],
    ] as const) {
      const peer = await stall(node, name, caller, 64);
      for (let nth = 0; nth < 16; nth += 1) await peer.until(frameTypes.headers, 2 * nth + 1);
    }
    const manifest = manifestOf(large, us1.signer, { owner: 'US1' });
    const connection = node.callAs(us1);
    await pushBackup(connection, manifest, reading(large));
    const fetched = await buffer(fetchBackup(connection, manifest.facts.name, { offset: 0, length: 0 }));
    expect(fetched.equals(large)).toBe(true);
  });

  it('with a key that was stolen keeps the server from nothing that it has here', async () => {
    const keys = deriveKeys(generateRecoveryKey());
    const [stolen, visitor] = [makeServerIdentity(keys, 'FR1', 1000), makeServerIdentity(keys, 'FR1', visitorEpoch)];
    node.follow([peerConfig('FR1', stolen), peerConfig('BAD', bad)]);
    const peer = await stall(node, 'FR1', stolen, 64);
    for (let nth = 0; nth < 16; nth += 1) await peer.until(frameTypes.headers, 2 * nth + 1);
    const { name } = manifestOf(large, stolen.signer, { owner: 'FR1' }).facts;
    const fetched = await buffer(fetchBackup(node.callAs(visitor), name, { offset: 0, length: 0 }));
    expect(fetched.equals(large)).toBe(true);
  });

  it('is given up when it takes less than a leaf a minute, and so are those of its calls that waited', async () => {
    const clock = new FakeClock();
    const patient = await startPeerNode({ peers: [peerConfig('BAD', bad)], clock });
    const peer = await stall(patient, 'BAD', bad, 17);
    for (let nth = 0; nth < 16; nth += 1) await peer.until(frameTypes.headers, 2 * nth + 1);
    let over = false;
    const last = peer.until(frameTypes.headers, 33).then(() => {
      over = true;
    });
    await getNode(patient.callAs(bad));
    expect(over).toBe(false);
    // A chunk has eight leaves.
    await clock.advance(7 * 60_000);
    expect(peer.came.has(`${frameTypes.rstStream}:1`)).toBe(false);
    await clock.advance(2 * 60_000);
    for (let nth = 0; nth < 16; nth += 1) await peer.until(frameTypes.rstStream, 2 * nth + 1);
    await last;
    await clock.advance(9 * 60_000);
    await peer.until(frameTypes.rstStream, 33);
    await patient.stop();
  });

  it('after the one request of a call, has it thrown away', async () => {
    const peer = await stall(node, 'BAD', bad, 1);
    await peer.until(frameTypes.headers, 1);
    // What is only kept leaves the window as it is; it is made larger again when half of it was used.
    for (let sent = 0; sent < 3; sent += 1) peer.data(1, Buffer.alloc(2 ** 20));
    await peer.until(frameTypes.windowUpdate, 1);
    await answers();
  });

  const small = randomBytes(1000);
  const pushed = manifestOf(small, bad.signer, { owner: 'BAD' });
  const header = (manifestDigest: Uint8Array, length: number): PushBackupRequest => {
    return { part: { $case: 'header', value: { manifestDigest, range: { offset: 0, length } } } };
  };
  const chunk = (value: Uint8Array): PushBackupRequest => ({ part: { $case: 'chunk', value } });
  const end: PushBackupRequest = { part: { $case: 'end', value: {} } };

  it.each<[string, PushBackupRequest[]]>([
    ['that is refused', [header(randomBytes(32), 1000)]],
    ['that breaks off with its first chunk', [header(pushed.digest, 1000), chunk(randomBytes(1001))]],
    ['that is complete', [header(pushed.digest, 1000), chunk(small), end]],
  ])('after a push %s, has it thrown away', async (_, parts) => {
    const { path, requests } = peerService.pushBackup;
    await offerBackup(node.callAs(bad), pushed);
    const peer = await takesNothing();
    // Until then, frames may not be as large.
    await peer.until(frameTypes.settings, 0);
    peer.call(1, path);
    const all = [...parts, ...Array.from({ length: 3 }, () => chunk(large))];
    peer.data(1, ...all.map((message) => Buffer.concat(requests.toWire(message))));
    await peer.until(frameTypes.windowUpdate, 1);
    await answers();
  });

  /** In a call with more than one request, whose answers stand still, so that what it sends next is not read. */
  async function asksOnAndOn(): Promise<RawHttp2> {
    const { path, requests } = methodsOf(ServerReflectionDefinition).serverReflectionInfo;
    const question = { $case: 'fileContainingSymbol', value: 'anemone.peer.v1.PeerService' } as const;
    const peer = await takesNothing();
    peer.call(1, path);
    peer.data(
      1,
      ...Array.from({ length: 10 }, () => Buffer.concat(requests.toWire({ host: '', messageRequest: question }))),
    );
    await peer.until(frameTypes.headers, 1);
    return peer;
  }

  it('in tiny frames, has its call broken off before very many of them wait', async () => {
    const peer = await asksOnAndOn();
    peer.data(1, ...framed(Buffer.alloc(5)), ...tiny);
    await peer.until(frameTypes.rstStream, 1);
    await answers();
  });

  it('more than it may while nobody reads it, has its call broken off', async () => {
    const peer = await asksOnAndOn();
    for (let sent = 0; sent < 3; sent += 1) peer.data(1, Buffer.alloc(2 ** 20));
    await peer.until(frameTypes.rstStream, 1);
    await answers();
  });
});
