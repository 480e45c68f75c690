import { generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, readdir, readFile, rm } from 'node:fs/promises';
import { connect as openSession } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { connect, createServer } from 'node:tls';
import { type Client, type MethodDefinition, status } from '@grpc/grpc-js';
import { afterEach, describe, expect, it } from 'vitest';
import { PeerServiceDefinition } from '../../../src/mesh/generated/anemone/peer/v1/peer.js';
import { HealthDefinition } from '../../../src/mesh/generated/grpc/health/v1/health.js';
import { ServerReflectionDefinition } from '../../../src/mesh/generated/grpc/reflection/v1/reflection.js';
import {
  bits,
  der,
  explicit,
  generalizedTime,
  integer,
  octets,
  oid,
  sequence,
  set,
  utcTime,
  utf8,
  yes,
} from '../../../src/mesh/identity/der.js';
import type { Identity } from '../../../src/mesh/identity/identity.js';
import { certificatePem, readNodeCertificate, visitorEpoch } from '../../../src/mesh/identity/node-certificate.js';
import { type DerivedKeys, deriveKeys, generateRecoveryKey } from '../../../src/mesh/identity/recovery-key.js';
import { makeServerIdentity, nodeKeyPem, type ServerIdentity } from '../../../src/mesh/identity/server-identity.js';
import { nodeSigner } from '../../../src/mesh/identity/signer.js';
import { askIdentity, callerOptions, listenerOptions } from '../../../src/mesh/identity/trust.js';
import { manifestDigest, type VerifiedManifest } from '../../../src/mesh/manifest/manifest.js';
import { connectTo } from '../../../src/mesh/peers/connection.js';
import { fetchBackup } from '../../../src/mesh/peers/fetch-backup.js';
import { getNode } from '../../../src/mesh/peers/get-node.js';
import { type ListQuestion, listBackups, listPages } from '../../../src/mesh/peers/list-backups.js';
import { offerBackup } from '../../../src/mesh/peers/offer-backup.js';
import { pushBackup } from '../../../src/mesh/peers/push-backup.js';
import { systemClock } from '../../../src/mesh/terms/clock.js';
import { parseHostname } from '../../../src/mesh/terms/hostname.js';
import { callClientStream } from '../../../src/mesh/wire/calls.js';
import { peerService } from '../../../src/mesh/wire/methods.js';
import { FakeClock } from '../../support/fake-clock.js';
import { flipBit, flipped } from '../../support/flip-bit.js';
import { grpcClient, grpcService } from '../../support/grpc.js';
import { throwawayServer } from '../../support/identities.js';
import { manifestOf } from '../../support/manifests.js';
import { keepDays, type PeerNode, peerConfig, startPeerNode } from '../../support/peer-node.js';
import { reading } from '../../support/reading.js';

const running: PeerNode[] = [];
afterEach(async () => {
  await Promise.all(running.splice(0).map((node) => node.stop()));
});

async function start(options: Parameters<typeof startPeerNode>[0]): Promise<PeerNode> {
  const node = await startPeerNode(options);
  running.push(node);
  return node;
}

/**
 * A certificate whose issuer is `victim`, below one that `thief` issued for a CA of that name. By its serial number, OpenSSL
 * takes the issuer for that CA, and never for the anchor of the victim.
 */
function chainInTheNameOf(victim: Identity, thief: DerivedKeys): { readonly key: string; readonly cert: string } {
  const [ca, own] = [generateKeyPairSync('ed25519'), generateKeyPairSync('ed25519')];
  const authority = certificate({
    serial: 77n,
    issuer: thief.identity,
    subject: victim,
    key: ca.publicKey,
    extension: sequence(oid('551d13'), yes, octets(sequence(yes))),
    signWith: thief.identityKey,
  });
  const issuerName = der(0xa1, der(0xa4, commonName(thief.identity)));
  const leaf = certificate({
    serial: 2n,
    issuer: victim,
    subject: 'FR1',
    key: own.publicKey,
    extension: sequence(oid('551d23'), octets(sequence(issuerName, der(0x82, Buffer.from([77]))))),
    signWith: ca.privateKey,
  });
  const key = own.privateKey.export({ format: 'pem', type: 'pkcs8' }).toString();
  return { key, cert: certificatePem(leaf) + certificatePem(authority) };
}

const commonName = (text: string): Buffer => sequence(set(sequence(oid('550403'), utf8(text))));

function certificate(parts: {
  readonly serial: bigint;
  readonly issuer: string;
  readonly subject: string;
  readonly key: KeyObject;
  readonly extension: Buffer;
  readonly signWith: KeyObject;
  readonly notBefore?: Buffer;
}): Buffer {
  const ed25519 = sequence(oid('2b6570'));
  const body = sequence(
    explicit(0, integer(2n)),
    integer(parts.serial),
    ed25519,
    commonName(parts.issuer),
    sequence(parts.notBefore ?? utcTime('200101000000Z'), generalizedTime('99991231235959Z')),
    commonName(parts.subject),
    parts.key.export({ format: 'der', type: 'spki' }),
    explicit(3, sequence(parts.extension)),
  );
  return sequence(body, ed25519, bits(sign(null, body, parts.signWith)));
}

/** A server whose certificate begins in the year 2090: to it, the clock of this machine is as wrong as one that was lost. */
function futureServer(): ServerIdentity {
  const { identity, identityKey } = deriveKeys(generateRecoveryKey());
  const { privateKey: nodeKey, publicKey } = generateKeyPairSync('ed25519');
  const shown = certificate({
    serial: 1_700_000_000_000n,
    issuer: identity,
    subject: 'FR1',
    key: publicKey,
    extension: sequence(oid('551d13'), yes, octets(sequence())),
    signWith: identityKey,
    notBefore: generalizedTime('20900101000000Z'),
  });
  const own = readNodeCertificate(shown);
  return { identity, certificate: own, nodeKey, signer: nodeSigner(own, nodeKey) };
}

/** A server that has a right node key but for the signature: the identity that it names did not issue it. */
const forgedServer = (victim: ServerIdentity): ServerIdentity =>
  makeServerIdentity({ ...deriveKeys(generateRecoveryKey()), identity: victim.identity }, 'FR1', 1_700_000_000_000);

/** What a listener sends over HTTP/2 to whoever shows this: the greeting for those that it lets in. */
async function greetingFor(node: PeerNode, shown: { readonly key: string; readonly cert: string }): Promise<Buffer> {
  const socket = connect({ ...node.address, ...shown, ALPNProtocols: ['h2'], rejectUnauthorized: false });
  socket.on('error', () => {});
  const received: Buffer[] = [];
  socket.on('data', (data) => received.push(data));
  await Promise.race([once(socket, 'data'), once(socket, 'close')]);
  socket.destroy();
  return Buffer.concat(received);
}

describe('the handshake', () => {
  it('lets a peer in whose certificate is not valid yet by the clock of this machine', async () => {
    const peer = futureServer();
    const node = await start({ peers: [peerConfig('FR1', peer)] });
    await expect(getNode(node.callAs(peer))).resolves.toMatchObject({ hostname: 'FR2' });
  });

  it('reaches a node whose certificate is not valid yet by the clock of the caller', async () => {
    const peer = throwawayServer();
    const node = await start({ peers: [peerConfig('FR1', peer)], server: futureServer() });
    await expect(getNode(node.callAs(peer))).resolves.toMatchObject({ hostname: 'FR2' });
  });

  it('refuses a stranger, and logs from where and who', async () => {
    const node = await start({ peers: [] });
    const stranger = throwawayServer();
    await expect(getNode(node.callAs(stranger))).rejects.toMatchObject({ kind: 'unreachable' });
    expect(node.log.all).toContainEqual({
      level: 'warn',
      event: 'stranger refused',
      fields: { from: '127.0.0.1', reason: expect.stringContaining(stranger.identity) },
    });
  });

  it('refuses a certificate that names a peer as its issuer but is not signed by it', async () => {
    const peer = throwawayServer();
    const node = await start({ peers: [peerConfig('FR1', peer)] });
    const thief = throwawayServer();
    const forged = forgedServer(peer);
    expect(forged.identity).toBe(peer.identity);
    await expect(getNode(node.callAs(forged))).rejects.toMatchObject({ kind: 'unreachable' });
    await expect(getNode(node.callAs(thief))).rejects.toMatchObject({ kind: 'unreachable' });
    await expect(getNode(node.callAs(peer))).resolves.toMatchObject({ hostname: 'FR2' });
  });

  it('sends whoever shows a forged certificate no byte of HTTP/2', async () => {
    const peer = throwawayServer();
    const node = await start({ peers: [peerConfig('FR1', peer)] });
    const shown = (server: ServerIdentity) => ({
      key: nodeKeyPem(server),
      cert: certificatePem(server.certificate.der),
    });
    expect(await greetingFor(node, shown(forgedServer(peer)))).toHaveLength(0);
    expect((await greetingFor(node, shown(peer))).length).toBeGreaterThan(0);
  });

  it('refuses a peer that issues itself a certificate in the name of another peer', async () => {
    const [victim, thief] = [throwawayServer('FR1'), deriveKeys(generateRecoveryKey())];
    const peers = [peerConfig('FR1', victim), peerConfig('BAD', makeServerIdentity(thief, 'BAD', 2))];
    const node = await start({ peers });
    const { key, cert } = chainInTheNameOf(victim.identity, thief);
    expect(await greetingFor(node, { key, cert })).toHaveLength(0);
    expect(node.log.all).toContainEqual({
      level: 'warn',
      event: 'stranger refused',
      fields: { from: '127.0.0.1', reason: `the certificate is not signed by ${victim.identity}` },
    });
  });

  it('refuses whoever shows no certificate, before a byte of HTTP/2', async () => {
    const node = await start({ peers: [] });
    const socket = connect({ ...node.address, ALPNProtocols: ['h2'], rejectUnauthorized: false });
    const received: Buffer[] = [];
    socket.on('data', (data) => received.push(data));
    await new Promise<void>((resolve) => {
      socket.once('error', () => {});
      socket.once('close', () => resolve());
    });
    expect(Buffer.concat(received)).toHaveLength(0);
    expect(node.log.all.map(({ event }) => event)).toContain('stranger refused');
  });

  it('speaks TLS 1.3 only', async () => {
    const peer = throwawayServer();
    const node = await start({ peers: [peerConfig('FR1', peer)] });
    const error = await new Promise<Error>((resolve) => {
      connect({
        ...node.address,
        key: nodeKeyPem(peer),
        cert: certificatePem(peer.certificate.der),
        maxVersion: 'TLSv1.2',
        rejectUnauthorized: false,
      }).once('error', resolve);
    });
    expect(error.message).toMatch(/protocol version/);
  });

  it('protects the caller too: a node with another identity than the pinned one gets no call', async () => {
    const peer = throwawayServer();
    const node = await start({ peers: [peerConfig('FR1', peer)] });
    await expect(getNode(node.callAs(peer, throwawayServer()))).rejects.toMatchObject({ kind: 'untrusted' });
  });

  it('sends a node that shows a forged certificate no byte of HTTP/2, and says what is wrong with it', async () => {
    const victim = throwawayServer();
    const forged = forgedServer(victim);
    const received: Buffer[] = [];
    const server = createServer(listenerOptions(forged), (socket) => {
      socket.on('error', () => {}).on('data', (data) => received.push(data));
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const address = { host: '127.0.0.1', port: (server.address() as AddressInfo).port };
    const gone = once(server, 'connection').then(([socket]) => once(socket, 'close'));
    const peer = { name: parseHostname('FR2'), address, identity: victim.identity };
    const connection = connectTo(peer, throwawayServer(), systemClock);
    await expect(getNode(connection)).rejects.toMatchObject({
      kind: 'untrusted',
      message: expect.stringContaining(`the certificate is not signed by ${victim.identity}`),
    });
    await gone;
    connection.close();
    server.close();
    expect(Buffer.concat(received)).toHaveLength(0);
  });

  it('tells a caller without a pin which identity answers, for a person to compare', async () => {
    const peer = throwawayServer();
    const node = await start({ peers: [peerConfig('FR1', peer)] });
    const options = { clock: systemClock, patience: 10_000, signal: new AbortController().signal };
    expect(await askIdentity(node.address, peer, options)).toBe(node.server.identity);
  });
});

describe('a change of peers', () => {
  it('lets a new peer in and closes the connections of a removed one, without a restart', async () => {
    const [first, second] = [throwawayServer(), throwawayServer()];
    const node = await start({ peers: [peerConfig('FR1', first)] });
    const [asFirst, asSecond] = [node.callAs(first), node.callAs(second)];
    await getNode(asFirst);
    await expect(getNode(asSecond)).rejects.toMatchObject({ kind: 'unreachable' });
    node.follow([peerConfig('US1', second)]);
    await expect(getNode(asFirst)).rejects.toMatchObject({ kind: 'unreachable' });
    await expect(getNode(node.callAs(second))).resolves.toMatchObject({ hostname: 'FR2' });
  });
});

describe('a push', () => {
  it('is on disk under the hostname of its owner when the receipt arrives, and is fetched byte for byte', async () => {
    const peer = throwawayServer();
    const node = await start({ peers: [peerConfig('FR1', peer)] });
    const connection = node.callAs(peer);
    const content = randomBytes(300_000);
    const manifest = manifestOf(content, peer.signer);
    const progress: number[] = [];
    await pushBackup(connection, manifest, { ...reading(content), progress: (bytes) => progress.push(bytes) });
    expect(await readFile(join(node.data, 'FR1', manifest.facts.name))).toEqual(content);
    expect(progress.at(-1)).toBe(content.length);
    expect(await buffer(fetchBackup(connection, manifest.facts.name, { offset: 0, length: 0 }))).toEqual(content);
    expect(await buffer(fetchBackup(connection, manifest.facts.name, { offset: 299_990, length: 0 }))).toEqual(
      content.subarray(299_990),
    );
  });

  it('sends nothing when the backup is held already, and gives the same receipt again', async () => {
    const peer = throwawayServer();
    const node = await start({ peers: [peerConfig('FR1', peer)] });
    const content = randomBytes(1000);
    const manifest = manifestOf(content, peer.signer);
    const receipt = await pushBackup(node.callAs(peer), manifest, reading(content));
    const again = await pushBackup(node.callAs(peer), manifest, {
      read: () => {
        throw new Error('nothing should be read');
      },
    });
    expect(again).toEqual(receipt);
  });

  it('goes on where it was cut', async () => {
    const peer = throwawayServer();
    const node = await start({ peers: [peerConfig('FR1', peer)] });
    const content = randomBytes(4_000_000);
    const manifest = manifestOf(content, peer.signer);
    const observer = node.callAs(peer);
    const arrived = async (): Promise<boolean> => {
      const offer = await offerBackup(observer, manifest);
      return 'missing' in offer && offer.missing.every(({ offset }) => offset > 0);
    };
    const cut = pushBackup(node.callAs(peer), manifest, {
      async *read(offset, length) {
        yield* reading(content).read(offset, length / 2);
        while (!(await arrived()));
        throw new Error('the cable was pulled');
      },
    });
    await expect(cut).rejects.toThrow('the cable was pulled');
    expect(await readdir(node.data)).not.toContain('FR1');
    const asked: [number, number][] = [];
    const progress: number[] = [];
    await pushBackup(node.callAs(peer), manifest, {
      read(offset, length) {
        asked.push([offset, length]);
        return reading(content).read(offset, length);
      },
      progress: (bytes) => progress.push(bytes),
    });
    expect(asked).toHaveLength(1);
    expect(asked[0]?.[0]).toBeGreaterThan(0);
    expect(progress[0]).toBe(asked[0]?.[0]);
    const kept = await readFile(join(node.data, 'FR1', manifest.facts.name));
    expect(kept.equals(content)).toBe(true);
  });

  it('is refused when another backup has its name, and what is held stays', async () => {
    const peer = throwawayServer();
    const node = await start({ peers: [peerConfig('FR1', peer)] });
    const [content, other] = [randomBytes(1000), randomBytes(1000)];
    const manifest = manifestOf(content, peer.signer);
    await pushBackup(node.callAs(peer), manifest, reading(content));
    const clash = pushBackup(node.callAs(peer), manifestOf(other, peer.signer), reading(other));
    await expect(clash).rejects.toMatchObject({ kind: 'conflict' });
    expect(await readFile(join(node.data, 'FR1', manifest.facts.name))).toEqual(content);
  });

  it('is refused when its bytes are not what the manifest says, and leaves nothing behind', async () => {
    const peer = throwawayServer();
    const node = await start({ peers: [peerConfig('FR1', peer)] });
    const content = randomBytes(200_000);
    const lie = pushBackup(node.callAs(peer), manifestOf(content, peer.signer), reading(flipped(content, 100_000)));
    await expect(lie).rejects.toMatchObject({ kind: 'damaged' });
    expect(await readdir(node.data)).not.toContain('FR1');
    expect(await readdir(join(node.data, '.incoming'))).toEqual([]);
  });

  it('is refused at the offer when it is beyond the quota, with how much is missing', async () => {
    const peer = throwawayServer();
    const node = await start({ peers: [peerConfig('FR1', peer, { quota: 100_000 })] });
    const content = randomBytes(150_000);
    const push = pushBackup(node.callAs(peer), manifestOf(content, peer.signer), {
      read: () => {
        throw new Error('nothing should be read');
      },
    });
    await expect(push).rejects.toMatchObject({ kind: 'no-space', message: expect.stringMatching(/^FR2 .*48\.8 KiB/) });
  });

  it('of a name that belongs to another server is refused, although the caller signed it', async () => {
    const peer = throwawayServer();
    const node = await start({ peers: [peerConfig('FR1', peer)] });
    const offer = offerBackup(node.callAs(peer), manifestOf(randomBytes(10), peer.signer, { owner: 'US1' }));
    await expect(offer).rejects.toMatchObject({ kind: 'forbidden', message: expect.stringContaining('US1') });
  });

  it('of a manifest that somebody else signed is refused', async () => {
    const peer = throwawayServer();
    const node = await start({ peers: [peerConfig('FR1', peer)] });
    const offer = offerBackup(node.callAs(peer), manifestOf(randomBytes(10), throwawayServer().signer));
    await expect(offer).rejects.toMatchObject({ kind: 'untrusted' });
  });

  const header = (digest: Buffer, offset = 0, length = 1000) =>
    ({ part: { $case: 'header', value: { manifestDigest: digest, range: { offset, length } } } }) as const;
  const honest = randomBytes(1000);
  const chunk = (size: number) =>
    ({ part: { $case: 'chunk', value: Buffer.concat([honest, Buffer.alloc(size)], size) } }) as const;
  const end = { part: { $case: 'end', value: {} } } as const;

  it.each([
    ['without its header', () => [chunk(10)], 'invalid'],
    ['with two headers', (digest: Buffer) => [header(digest), header(digest)], 'invalid'],
    ['with an empty message', (digest: Buffer) => [header(digest), { part: undefined }], 'invalid'],
    ['of a backup that was not offered', () => [header(randomBytes(32)), chunk(1000), end], 'not-found'],
    ['of a range beyond the file', (digest: Buffer) => [header(digest, 65_536, 1000), end], 'invalid'],
    ['of a range that starts inside a leaf', (digest: Buffer) => [header(digest, 5, 10), end], 'invalid'],
    ['with more bytes than its range', (digest: Buffer) => [header(digest), chunk(1001), end], 'invalid'],
    ['that ends without its end', (digest: Buffer) => [header(digest), chunk(1000)], 'unreachable'],
  ])('%s is refused with a reason, and disturbs nobody', async (_what, parts, kind) => {
    const peer = throwawayServer();
    const node = await start({ peers: [peerConfig('FR1', peer)] });
    const connection = node.callAs(peer);
    const manifest = manifestOf(honest, peer.signer);
    await offerBackup(connection, manifest);
    async function* requests() {
      yield* parts(manifest.digest);
    }
    const push = callClientStream(connection.bulk, peerService.pushBackup, requests());
    await expect(push).rejects.toMatchObject({ kind });
    expect(await readdir(node.data)).not.toContain('FR1');
    await pushBackup(connection, manifest, reading(honest));
    expect(await readFile(join(node.data, 'FR1', manifest.facts.name))).toEqual(honest);
  });
});

it('a push with a chunk over 1 MiB is refused, also where its range has room for it', async () => {
  const peer = throwawayServer();
  const node = await start({ peers: [peerConfig('FR1', peer)] });
  const connection = node.callAs(peer);
  const content = randomBytes(1_100_000);
  const manifest = manifestOf(content, peer.signer);
  const requests = [
    {
      part: {
        $case: 'header',
        value: { manifestDigest: manifest.digest, range: { offset: 0, length: content.length } },
      },
    },
    { part: { $case: 'chunk', value: content } },
    { part: { $case: 'end', value: {} } },
  ] as const;
  await offerBackup(connection, manifest);
  const push = callClientStream(connection.bulk, peerService.pushBackup, requests);
  await expect(push).rejects.toMatchObject({
    kind: 'invalid',
    message: expect.stringMatching(/a message has 1100\d{3} bytes; 1048592 are allowed/),
  });
  expect(await readdir(node.data)).not.toContain('FR1');
});

describe('an upload that stalls', () => {
  it('is given up after a minute without a leaf, and what arrived stays for the next offer', async () => {
    const clock = new FakeClock(Date.UTC(2026, 10, 24));
    const peer = throwawayServer();
    const node = await start({ peers: [peerConfig('FR1', peer)], clock });
    const connection = node.callAs(peer);
    const content = randomBytes(200_000);
    const manifest = manifestOf(content, peer.signer);
    let stalled = (): void => {};
    const hasStalled = new Promise<void>((resolve) => {
      stalled = resolve;
    });
    const push = pushBackup(connection, manifest, {
      async *read() {
        yield content.subarray(0, 100_000);
        stalled();
        await new Promise(() => {});
      },
    });
    const outcome = push.catch((error: unknown) => error);
    await hasStalled;
    let over = false;
    void outcome.then(() => {
      over = true;
    });
    // A minute counts from the moment in which the last leaf arrived, wherever that was.
    while (!over) {
      await clock.advance(60_000);
      await getNode(connection);
    }
    expect(await outcome).toMatchObject({ kind: 'timeout', message: expect.stringContaining('too slow') });
    await pushBackup(node.callAs(peer), manifest, reading(content));
    expect(await readFile(join(node.data, 'FR1', manifest.facts.name))).toEqual(content);
    // The log counts what happens again within a minute, and the vault writes down what it holds.
    await clock.advance(60_000);
    await node.vault.close();
    expect(clock.pending()).toBe(0);
  });
});

it('answers thousands of calls over one connection', async () => {
  const peer = throwawayServer();
  const node = await start({ peers: [peerConfig('FR1', peer)] });
  const connection = node.callAs(peer);
  const content = randomBytes(10);
  const manifest = manifestOf(content, peer.signer);
  await pushBackup(connection, manifest, reading(content));
  for (let round = 0; round < 60; round += 1) {
    const calls = Array.from({ length: 40 }, () =>
      buffer(fetchBackup(connection, manifest.facts.name, { offset: 0, length: 0 })),
    );
    expect((await Promise.all(calls)).every((bytes) => bytes.equals(content))).toBe(true);
  }
});

/** The one page of an answer; null where nothing is shown. */
async function pageOf(node: PeerNode, caller: ServerIdentity, question: Partial<ListQuestion>) {
  const pages = [];
  for await (const page of listPages(node.callAs(caller), { owner: '', set: '', ...question })) pages.push(page);
  expect(pages.length).toBeLessThan(2);
  return pages[0] ?? null;
}

describe('reading', () => {
  async function twoOwners(reads: PeerNode['name'][] = []) {
    const [first, second] = [throwawayServer(), throwawayServer()];
    const node = await start({ peers: [peerConfig('FR1', first), peerConfig('US1', second, { reads })] });
    const content = randomBytes(1000);
    const manifest = manifestOf(content, first.signer);
    await pushBackup(node.callAs(first), manifest, reading(content));
    return { node, first, second, manifest, content };
  }

  it('shows a peer its own backups only, with manifest and receipt', async () => {
    const { node, first, second, manifest } = await twoOwners();
    const own = await listBackups(node.callAs(first), { owner: '', set: '' });
    expect(own.map((held) => held.manifest?.manifest)).toEqual([manifest.signed.manifest]);
    expect(own[0]?.receipt).toBeDefined();
    expect(await listBackups(node.callAs(second), { owner: '', set: '' })).toEqual([]);
    const forbidden = listBackups(node.callAs(second), { owner: 'FR1', set: '' });
    await expect(forbidden).rejects.toMatchObject({ kind: 'forbidden' });
  });

  it('tells with each list for how many days its retention removes nothing', async () => {
    const peer = throwawayServer();
    let retention = keepDays(0, 7);
    const node = await start({ peers: [peerConfig('FR1', peer)], retention: () => retention });
    const content = randomBytes(10);
    await pushBackup(node.callAs(peer), manifestOf(content, peer.signer), reading(content));
    expect(await pageOf(node, peer, {})).toMatchObject({ minimumDays: { local: 0, peers: 7 } });
    retention = keepDays(3, 0);
    expect(await pageOf(node, peer, { brief: true })).toMatchObject({ minimumDays: { local: 3, peers: 0 } });
  });

  it('shows in brief the digest of a manifest and when it came, and whole what is asked for by its digest', async () => {
    const { node, first, second, manifest } = await twoOwners();
    const [held] = node.vault.list();
    const brief = await pageOf(node, first, { brief: true });
    expect(brief).toEqual({
      backups: [],
      brief: [{ manifestDigest: manifest.digest.toString('hex'), receivedAt: held?.receivedAt }],
      minimumDays: { local: 0, peers: 7 },
    });
    const manifestDigests = [manifest.digest.toString('hex'), 'ff'.repeat(32)];
    expect(await pageOf(node, first, { manifestDigests })).toMatchObject({
      backups: [{ manifest: { manifest: manifest.signed.manifest }, receipt: expect.anything() }],
      brief: [],
    });
    expect(await pageOf(node, first, { manifestDigests: ['ff'.repeat(32)] })).toBeNull();
    expect(await pageOf(node, second, { brief: true })).toBeNull();
    expect(await pageOf(node, second, { manifestDigests })).toBeNull();
  });

  it('looks for a thousand manifests at one time', async () => {
    const { node, first } = await twoOwners();
    const asking = (count: number) => pageOf(node, first, { manifestDigests: new Array(count).fill('ff'.repeat(32)) });
    expect(await asking(1000)).toBeNull();
    await expect(asking(1001)).rejects.toMatchObject({ kind: 'invalid' });
  });

  it('does not show in brief what turns out to be damaged, and says so to its owner', async () => {
    const { node, first, manifest } = await twoOwners();
    const path = join(node.data, 'FR1', `${manifest.facts.name}.manifest`);
    await flipBit(path, (await readFile(path)).indexOf(manifest.signed.signature));
    expect(await pageOf(node, first, { brief: true })).toBeNull();
    expect((await getNode(node.callAs(first))).damaged).toEqual([manifest.facts.name]);
  });

  it('does not tell a foreign backup from one that is not there', async () => {
    const { node, second, manifest } = await twoOwners();
    const foreign = buffer(fetchBackup(node.callAs(second), manifest.facts.name, { offset: 0, length: 0 }));
    await expect(foreign).rejects.toMatchObject({ kind: 'not-found' });
  });

  it('is open to a peer that names the digest of the manifest: only who was given the backup knows it', async () => {
    const { node, second, manifest, content } = await twoOwners();
    const fetching = (digest: Uint8Array) =>
      buffer(fetchBackup(node.callAs(second), manifest.facts.name, { offset: 0, length: 0 }, undefined, digest));
    expect(await fetching(manifest.digest)).toEqual(content);
    await expect(fetching(manifest.facts.sha256)).rejects.toMatchObject({ kind: 'not-found' });
    await expect(fetching(manifest.digest.subarray(1))).rejects.toMatchObject({ kind: 'not-found' });
  });

  it('is open to a peer that the configuration lets read', async () => {
    const { node, second, manifest, content } = await twoOwners(['FR1' as PeerNode['name']]);
    expect(await listBackups(node.callAs(second), { owner: 'FR1', set: '' })).toHaveLength(1);
    expect(await buffer(fetchBackup(node.callAs(second), manifest.facts.name, { offset: 0, length: 0 }))).toEqual(
      content,
    );
  });

  it.each(['../../etc/passwd', 'anemone-backup-..-20261123-010000.enc', '', 'node.key'])(
    'of %j is refused as a name',
    async (name) => {
      const { node, first } = await twoOwners();
      await expect(buffer(fetchBackup(node.callAs(first), name, { offset: 0, length: 0 }))).rejects.toMatchObject({
        kind: 'invalid',
      });
    },
  );

  it('beyond the end is refused', async () => {
    const { node, first, manifest } = await twoOwners();
    const beyond = buffer(fetchBackup(node.callAs(first), manifest.facts.name, { offset: 1001, length: 0 }));
    await expect(beyond).rejects.toMatchObject({ kind: 'invalid' });
  });
});

describe('a rebuilt server', () => {
  function generations(): { keys: ReturnType<typeof deriveKeys>; at(epoch: number): ServerIdentity } {
    const keys = deriveKeys(generateRecoveryKey());
    return { keys, at: (epoch) => makeServerIdentity(keys, 'FR1', epoch) };
  }

  it('locks its predecessor out by coming back, and tells it which epoch to beat', async () => {
    const server = generations();
    const [old, rebuilt] = [server.at(1000), server.at(2000)];
    const node = await start({ peers: [peerConfig('FR1', old)] });
    const [asOld, asRebuilt] = [node.callAs(old), node.callAs(rebuilt)];
    await listBackups(asOld, { owner: '', set: '' });
    await listBackups(asRebuilt, { owner: '', set: '' });
    // The connection that it had was closed.
    const again = node.callAs(old);
    const superseded = listBackups(again, { owner: '', set: '' });
    await expect(superseded).rejects.toMatchObject({ kind: 'untrusted', message: expect.stringMatching(/superseded/) });
    expect(await getNode(again)).toMatchObject({ newestEpochMs: 2000, newestCertificate: rebuilt.certificate.der });
  });

  it('hears which backup of each set is the newest here, and its lost machine does not', async () => {
    const server = generations();
    const [old, rebuilt] = [server.at(1000), server.at(2000)];
    const node = await start({ peers: [peerConfig('FR1', old)] });
    const asOld = node.callAs(old);
    const made: VerifiedManifest[] = [];
    for (const [set, sequence] of [
      ['backup', 1],
      ['backup', 7],
      ['mail', 3],
      ['backup', 2],
    ] as const) {
      const content = randomBytes(100);
      const previous = Buffer.alloc(sequence > 1 ? 32 : 0, 1);
      const createdAtMs = Date.UTC(2026, 10, sequence);
      const manifest = manifestOf(content, old.signer, { set, sequence, previous, createdAtMs });
      await pushBackup(asOld, manifest, reading(content));
      made.push(manifest);
    }
    const newestFor = async (caller: ServerIdentity, newestBackups = true) =>
      (await getNode(node.callAs(caller), undefined, { newestBackups })).newestBackups.map(manifestDigest);
    const newest = [made[1], made[2]].map((each) => each?.digest);
    expect(await newestFor(old)).toEqual(newest);
    expect(await newestFor(rebuilt)).toEqual(newest);
    expect(await newestFor(rebuilt, false)).toEqual([]);
    expect(await newestFor(old)).toEqual([]);
  });

  it('reads what is kept for it where the disk does not take its new key, and writes nothing before that is remembered', async () => {
    const server = generations();
    const [old, rebuilt] = [server.at(1000), server.at(2000)];
    const node = await start({ peers: [peerConfig('FR1', old)] });
    await listBackups(node.callAs(old), { owner: '', set: '' });
    const inTheWay = join(node.data, '.state', 'epochs.json.new');
    await mkdir(inTheWay);
    const asRebuilt = node.callAs(rebuilt);
    expect(await listBackups(asRebuilt, { owner: '', set: '' })).toEqual([]);
    const offer = offerBackup(asRebuilt, manifestOf(randomBytes(10), rebuilt.signer));
    await expect(offer).rejects.toMatchObject({ kind: 'failed' });
    await expect(listBackups(node.callAs(old), { owner: '', set: '' })).rejects.toMatchObject({ kind: 'untrusted' });
    await rm(inTheWay, { recursive: true });
    expect(await listBackups(asRebuilt, { owner: '', set: '' })).toEqual([]);
    await expect(listBackups(node.callAs(old), { owner: '', set: '' })).rejects.toMatchObject({ kind: 'untrusted' });
  });

  it('is not seen when its predecessor or a visitor calls', async () => {
    const server = generations();
    const [old, rebuilt, visitor] = [server.at(1000), server.at(2000), server.at(visitorEpoch)];
    const node = await start({ peers: [peerConfig('FR1', old)] });
    await getNode(node.callAs(rebuilt));
    for (const caller of [old, visitor]) await getNode(node.callAs(caller));
    expect(node.seen).toEqual(['FR1']);
  });

  it('cannot be two: another node key of the same epoch is refused', async () => {
    const server = generations();
    const node = await start({ peers: [peerConfig('FR1', server.at(1000))] });
    const [one, two] = [node.callAs(server.at(3000)), node.callAs(server.at(3000))];
    await listBackups(one, { owner: '', set: '' });
    await expect(listBackups(two, { owner: '', set: '' })).rejects.toMatchObject({ kind: 'untrusted' });
  });

  it('may visit first: a visitor reads, writes nothing, and locks nobody out', async () => {
    const server = generations();
    const [living, visitor] = [server.at(1000), server.at(visitorEpoch)];
    const node = await start({ peers: [peerConfig('FR1', living)] });
    await listBackups(node.callAs(living), { owner: '', set: '' });
    const asVisitor = node.callAs(visitor);
    expect(await getNode(asVisitor)).toMatchObject({ newestEpochMs: 1000 });
    expect(await listBackups(asVisitor, { owner: '', set: '' })).toEqual([]);
    const write = offerBackup(asVisitor, manifestOf(randomBytes(10), visitor.signer));
    await expect(write).rejects.toMatchObject({ kind: 'forbidden' });
    await expect(listBackups(node.callAs(living), { owner: '', set: '' })).resolves.toEqual([]);
  });
});

describe('another gRPC client', () => {
  const services = { peer: grpcService(PeerServiceDefinition), health: grpcService(HealthDefinition) };
  const { serverReflectionInfo } = grpcService(ServerReflectionDefinition);
  const clients: Client[] = [];
  afterEach(() => {
    for (const client of clients.splice(0)) client.close();
  });

  async function clientOf(peer: ServerIdentity): Promise<Client> {
    const node = await start({ peers: [peerConfig('FR1', peer)] });
    const client = grpcClient(node.address, peer, node.server.identity);
    clients.push(client);
    return client;
  }

  function unary<Q, R>(client: Client, method: MethodDefinition<Q, R>, request: Q): Promise<R> {
    const { path, requestSerialize, responseDeserialize } = method;
    return new Promise((resolve, reject) => {
      client.makeUnaryRequest<Q, R>(path, requestSerialize, responseDeserialize, request, (error, response) => {
        if (error !== null || response === undefined) reject(error);
        else resolve(response);
      });
    });
  }

  async function stream<Q, R>(client: Client, method: MethodDefinition<Q, R>, request: Q): Promise<R[]> {
    const { path, requestSerialize, responseDeserialize } = method;
    const messages: R[] = [];
    for await (const message of client.makeServerStreamRequest(path, requestSerialize, responseDeserialize, request)) {
      messages.push(message);
    }
    return messages;
  }

  it('stores a backup, lists it and fetches it', async () => {
    const peer = throwawayServer();
    const client = await clientOf(peer);
    const content = randomBytes(300_000);
    const manifest = manifestOf(content, peer.signer);
    const { peer: service } = services;
    expect(await unary(client, service.getNode, {})).toMatchObject({ hostname: 'FR2' });
    const { answer } = await unary(client, service.offerBackup, { manifest: manifest.signed });
    expect(answer).toMatchObject({ $case: 'missing', value: { ranges: [{ offset: 0, length: content.length }] } });
    const { path, requestSerialize, responseDeserialize } = service.pushBackup;
    const receipt = await new Promise((resolve, reject) => {
      const push = client.makeClientStreamRequest(path, requestSerialize, responseDeserialize, (error, response) =>
        error === null ? resolve(response) : reject(error),
      );
      const range = { offset: 0, length: content.length };
      push.write({ part: { $case: 'header', value: { manifestDigest: manifest.digest, range } } });
      push.write({ part: { $case: 'chunk', value: content.subarray(0, 200_000) } });
      push.write({ part: { $case: 'chunk', value: content.subarray(200_000) } });
      push.write({ part: { $case: 'end', value: {} } });
      push.end();
    });
    expect(receipt).toMatchObject({ answer: { $case: 'receipt' } });
    const [page] = await stream(client, service.listBackups, { owner: '', set: '', brief: false, manifestDigests: [] });
    expect(page.backups).toMatchObject([{ manifest: { signature: manifest.signed.signature } }]);
    const request = { name: manifest.facts.name, offset: 0, length: 0, manifestDigest: new Uint8Array() };
    const chunks = await stream(client, service.fetchBackup, request);
    expect(Buffer.concat(chunks.map(({ chunk }) => chunk)).equals(content)).toBe(true);
  });

  it('is told what is wrong by code and words', async () => {
    const client = await clientOf(throwawayServer());
    const request = {
      name: 'backup-20261101-010000Z-00000001.age',
      offset: 0,
      length: 0,
      manifestDigest: Buffer.alloc(0),
    };
    await expect(stream(client, services.peer.fetchBackup, request)).rejects.toMatchObject({
      code: status.INVALID_ARGUMENT,
    });
    await expect(unary(client, services.peer.offerBackup, {})).rejects.toMatchObject({
      code: status.INVALID_ARGUMENT,
      details: 'the offer has no manifest',
    });
    const unknown = { ...services.peer.getNode, path: '/anemone.peer.v1.PeerService/NoSuchCall' };
    await expect(unary(client, unknown, {})).rejects.toMatchObject({ code: status.UNIMPLEMENTED });
  });

  it('that does not speak gRPC is told so by HTTP', async () => {
    const peer = throwawayServer();
    const node = await start({ peers: [peerConfig('FR1', peer)] });
    const socket = connect({ ...node.address, ...callerOptions(peer) });
    const session = openSession('https://anemone-peer', { createConnection: () => socket });
    const { path } = services.peer.getNode;
    const stream = session.request({ ':method': 'POST', ':path': path, 'content-type': 'text/plain' });
    const [headers] = await once(stream, 'response');
    expect(headers[':status']).toBe(415);
    session.destroy();
  });

  it('is told by the health protocol that the node serves', async () => {
    const client = await clientOf(throwawayServer());
    for (const service of ['', 'anemone.peer.v1.PeerService']) {
      expect(await unary(client, services.health.check, { service })).toEqual({ status: 1 });
    }
    expect(await unary(client, services.health.list, {})).toMatchObject({ statuses: { '': { status: 1 } } });
    for (const service of ['no.such.Service', 'x'.repeat(1_000_000)]) {
      await expect(unary(client, services.health.check, { service })).rejects.toMatchObject({ code: status.NOT_FOUND });
    }
    expect(await unary(client, services.health.check, { service: '' })).toEqual({ status: 1 });
  });

  it('loses the place of a call that nobody knows, and keeps its connection, where it never ends the request', async () => {
    const [peer, clock] = [throwawayServer(), new FakeClock()];
    const node = await start({ peers: [peerConfig('FR1', peer)], clock });
    const socket = connect({ ...node.address, ...callerOptions(peer) });
    const session = openSession('https://anemone-peer', { createConnection: () => socket });
    for (const [path, type] of [
      [`/no/${'ü'.repeat(20_000)}`, 'application/grpc'],
      ['/no/such', 'application/grpc'],
      ['/no/such', 'text/plain'],
    ]) {
      const stream = session.request({ ':method': 'POST', ':path': path, 'content-type': type }, { endStream: false });
      const closed = new Promise((resolve) => stream.on('error', () => {}).once('close', resolve));
      await once(stream.resume(), 'response');
      expect(stream.closed).toBe(false);
      await clock.advance(10_000);
      await closed;
    }
    expect(session.closed).toBe(false);
    session.destroy();
  });

  it('may watch by the health protocol whether the node serves', async () => {
    const client = await clientOf(throwawayServer());
    const { path, requestSerialize, responseDeserialize } = services.health.watch;
    const watch = async (service: string): Promise<unknown> => {
      const call = client.makeServerStreamRequest(path, requestSerialize, responseDeserialize, { service });
      call.on('error', () => {});
      const [first] = await once(call, 'data');
      call.cancel();
      return first;
    };
    expect(await watch('')).toEqual({ status: 1 });
    expect(await watch('no.such.Service')).toEqual({ status: 3 });
  });

  it('learns by reflection which services there are, and gets a file with all that it imports', async () => {
    const client = await clientOf(throwawayServer());
    const { path, requestSerialize, responseDeserialize } = serverReflectionInfo;
    const call = client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize);
    call.write({ host: '', messageRequest: { $case: 'listServices', value: '' } });
    call.write({ host: '', messageRequest: { $case: 'fileContainingSymbol', value: 'anemone.peer.v1.PeerService' } });
    call.write({ host: '', messageRequest: { $case: 'fileContainingSymbol', value: 'grpc.health.v1.Health' } });
    call.write({ host: '', messageRequest: { $case: 'fileContainingSymbol', value: 'no.such.Thing' } });
    call.end();
    const answers = [];
    for await (const { messageResponse } of call) answers.push(messageResponse);
    const [listed, files, health, unknown] = answers;
    expect(listed.value.service.map(({ name }: { name: string }) => name)).toContain('anemone.peer.v1.PeerService');
    expect(files.value.fileDescriptorProto).toHaveLength(2);
    expect(health.value.fileDescriptorProto).toHaveLength(1);
    expect(unknown.$case).toBe('errorResponse');
  });
});
