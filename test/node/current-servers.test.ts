import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { createServer, TLSSocket } from 'node:tls';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type NodeCertificate, visitorEpoch } from '../../src/mesh/identity/node-certificate.js';
import { deriveKeys, generateRecoveryKey } from '../../src/mesh/identity/recovery-key.js';
import { makeServerIdentity, type ServerIdentity } from '../../src/mesh/identity/server-identity.js';
import { listenerOptions } from '../../src/mesh/identity/trust.js';
import { type Connection, connectTo, type Meet } from '../../src/mesh/peers/connection.js';
import { getNode } from '../../src/mesh/peers/get-node.js';
import { formatAddress } from '../../src/mesh/terms/address.js';
import { systemClock } from '../../src/mesh/terms/clock.js';
import { parseHostname } from '../../src/mesh/terms/hostname.js';
import { currentServers } from '../../src/node/current-servers.js';
import { type Epochs, openEpochs } from '../../src/node/service/epochs.js';
import { silent, watchEvents } from '../support/events.js';
import { throwawayServer } from '../support/identities.js';
import { type PeerNode, peerConfig, startPeerNode } from '../support/peer-node.js';
import { temporaryFolder } from '../support/temporary-folder.js';

const self = throwawayServer('FR1');
const fr2 = parseHostname('FR2');
const keys = deriveKeys(generateRecoveryKey());
const at = (epoch: number): ServerIdentity => makeServerIdentity(keys, fr2, epoch);

let folder: string;
let epochs: Epochs;
let meet: Meet;
const nodes: PeerNode[] = [];
const connections: Connection[] = [];
beforeEach(async () => {
  folder = await temporaryFolder();
  const log = watchEvents();
  epochs = await openEpochs(join(folder, 'epochs.json'), log);
  meet = currentServers(epochs, log);
});
afterEach(async () => {
  for (const connection of connections.splice(0)) connection.close();
  await Promise.all(nodes.splice(0).map((node) => node.stop()));
  await epochs.settled();
});

/** A connection as a node has one, to a machine that has this node key of FR2. */
async function callTo(server: ServerIdentity, met: Meet = meet): Promise<Connection> {
  const node = await startPeerNode({ name: fr2, peers: [peerConfig('FR1', self)], server });
  nodes.push(node);
  const connection = connectTo({ name: fr2, address: node.address, identity: server.identity }, self, systemClock, {
    meet: met,
  });
  connections.push(connection);
  return connection;
}

describe('a machine that answers in the place of a peer', () => {
  it('with a node key that is superseded is told as what it is, and sent nothing', async () => {
    await epochs.admit(at(2000).certificate, fr2);
    const received: Buffer[] = [];
    const lost = createServer(listenerOptions(at(1000)), (socket) => {
      socket.on('error', () => {}).on('data', (data) => received.push(data));
    });
    lost.listen(0, '127.0.0.1');
    await once(lost, 'listening');
    const gone = once(lost, 'connection').then(([socket]) => once(socket, 'close'));
    const { port } = lost.address() as AddressInfo;
    const address = { host: '127.0.0.1', port };
    const call = connectTo({ name: fr2, address, identity: keys.identity }, self, systemClock, { meet });
    connections.push(call);
    await expect(getNode(call)).rejects.toMatchObject({
      kind: 'untrusted',
      message: `FR2 (${formatAddress(address)}): a superseded node key answers there: FR2 was rebuilt with a newer one`,
      hint: expect.stringContaining('VPN key'),
      retryable: true,
    });
    await gone;
    lost.close();
    expect(Buffer.concat(received)).toHaveLength(0);
  });

  it('with another node key of the same epoch is not called: two cannot both be the server', async () => {
    await epochs.admit(at(2000).certificate, fr2);
    await expect(getNode(await callTo(at(2000)))).rejects.toMatchObject({ kind: 'untrusted' });
  });

  it('with the newest node key is called, and remembered where it is newer than any before', async () => {
    await epochs.admit(at(1000).certificate, fr2);
    await getNode(await callTo(at(2000)));
    await epochs.settled();
    expect(epochs.newest(keys.identity)?.epoch).toBe(2000);
    expect((await openEpochs(join(folder, 'epochs.json'), silent)).newest(keys.identity)?.epoch).toBe(2000);
  });

  it.each<[string, (older: ServerIdentity) => NodeCertificate]>([
    ['a newer node key', () => at(2000).certificate],
    ['the same node key, certified again', (older) => ({ ...older.certificate, epoch: 2000 })],
  ])('is cut off at once when the rebuilt server calls with %s, and not called again', async (_, rebuilt) => {
    const sockets: TLSSocket[] = [];
    const older = at(1000);
    const call = await callTo(older, (peer, certificate, socket) => {
      meet(peer, certificate, socket);
      sockets.push(socket);
    });
    await getNode(call);
    await epochs.settled();
    const [socket] = sockets;
    expect(socket).toBeInstanceOf(TLSSocket);
    const cut = once(socket as TLSSocket, 'close');
    await epochs.admit(rebuilt(older), fr2);
    await cut;
    await expect(getNode(call)).rejects.toMatchObject({ kind: 'untrusted' });
  });

  it('with the key of a visitor is no server, and not remembered', async () => {
    await expect(getNode(await callTo(at(visitorEpoch)))).rejects.toMatchObject({
      kind: 'untrusted',
      message: expect.stringContaining('a visitor'),
    });
    await epochs.settled();
    expect(epochs.newest(keys.identity)).toBeUndefined();
  });
});
