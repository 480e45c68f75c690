import { randomBytes } from 'node:crypto';
import { getEventListeners, once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { setImmediate } from 'node:timers/promises';
import { expect, it, vi } from 'vitest';
import type { ServerIdentity } from '../../../src/mesh/identity/server-identity.js';
import { type Connection, connectTo } from '../../../src/mesh/peers/connection.js';
import { getNode } from '../../../src/mesh/peers/get-node.js';
import { openPool } from '../../../src/mesh/peers/pool.js';
import { pushBackup } from '../../../src/mesh/peers/push-backup.js';
import { formatAddress, parseAddress } from '../../../src/mesh/terms/address.js';
import { type Clock, systemClock } from '../../../src/mesh/terms/clock.js';
import { parseHostname } from '../../../src/mesh/terms/hostname.js';
import { FakeClock } from '../../support/fake-clock.js';
import { startHostilePeer } from '../../support/hostile-peer.js';
import { throwawayServer } from '../../support/identities.js';
import { manifestOf } from '../../support/manifests.js';
import { freePort } from '../../support/mesh.js';
import { type PeerNode, peerConfig, startPeerNode } from '../../support/peer-node.js';
import { reading } from '../../support/reading.js';
import { openRelay } from '../../support/relay.js';

/** A connection that takes another way to a node than its own address. */
function connectThrough(
  { address }: { readonly address: string },
  { name, server: { identity } }: PeerNode,
  self: ServerIdentity,
  clock: Clock,
): Connection {
  return connectTo({ name, address: parseAddress(address), identity }, self, clock);
}

it('reaches a peer that is back with the next call, however often it failed before', async () => {
  const self = throwawayServer('FR1');
  const node = await startPeerNode({ name: 'FR2', peers: [peerConfig('FR1', self)] });
  const port = await freePort();
  const connection = connectThrough({ address: `127.0.0.1:${port}` }, node, self, systemClock);
  try {
    for (let attempt = 0; attempt < 3; attempt += 1) {
      await expect(getNode(connection)).rejects.toMatchObject({ kind: 'unreachable' });
    }
    const relay = await openRelay(formatAddress(node.address), port);
    try {
      await expect(getNode(connection)).resolves.toMatchObject({ hostname: 'FR2' });
    } finally {
      await relay.close();
    }
  } finally {
    connection.close();
    await node.stop();
  }
});

it('says that another server answers at the address of a peer, and what to look at', async () => {
  const self = throwawayServer('FR1');
  const node = await startPeerNode({ name: 'FR2', peers: [peerConfig('FR1', self)] });
  const another = throwawayServer('FR2');
  const connection = connectTo(
    { name: node.name, address: node.address, identity: another.identity },
    self,
    systemClock,
  );
  try {
    const thrown = await getNode(connection).catch((failure: unknown) => failure);
    expect(thrown).toMatchObject({
      kind: 'untrusted',
      message: `FR2 (${formatAddress(node.address)}): another server answers there (identity ${node.server.identity}, expected ${another.identity})`,
      retryable: true,
      hint: expect.stringContaining('anemone-peer peer remove'),
    });
  } finally {
    connection.close();
    await node.stop();
  }
});

it('names a peer of the same moment, or this server itself, that answers in the place of another', async () => {
  const self = throwawayServer('FR1');
  const [own, us1] = await Promise.all([
    startPeerNode({ name: 'FR1', peers: [], server: self }),
    startPeerNode({ name: 'US1', peers: [] }),
  ]);
  const peerAt = (name: string, { address }: PeerNode) => {
    const { identity } = throwawayServer(name);
    return { name: parseHostname(name), address, identity };
  };
  const pool = openPool(self, systemClock, () => {});
  const wrong = [peerAt('FR2', us1), peerAt('DE1', own)];
  pool.follow(wrong);
  const connections = pool.follow([...wrong, us1.callAs(self).peer]);
  try {
    const told = await Promise.all(
      connections.slice(0, 2).map((each) => getNode(each).catch((failure: Error) => failure.message)),
    );
    expect(told).toEqual([
      expect.stringContaining(`: US1 answers there (identity ${us1.server.identity}, expected `),
      expect.stringContaining(`: this server itself answers there (identity ${self.identity}, expected `),
    ]);
  } finally {
    pool.close();
    await Promise.all([own.stop(), us1.stop()]);
  }
});

it('gives up a connection that nobody answers after 20 seconds, and not before', async () => {
  const silent = createServer(() => {});
  await once(silent.listen(0, '127.0.0.1'), 'listening');
  const { port } = silent.address() as AddressInfo;
  const clock = new FakeClock();
  const address = parseAddress(`127.0.0.1:${port}`);
  const peer = { name: parseHostname('FR2'), address, identity: throwawayServer('FR2').identity };
  const connection = connectTo(peer, throwawayServer('FR1'), clock);
  try {
    let failure: unknown;
    const connected = connection.bulk.connect().catch((thrown) => {
      failure = thrown;
    });
    await once(silent, 'connection');
    await clock.advance(19_999);
    expect(failure).toBeUndefined();
    await clock.advance(1);
    await connected;
    expect(failure).toMatchObject({ message: 'nobody answers' });
    expect(clock.pending()).toBe(0);
  } finally {
    connection.close();
    silent.close();
  }
});

it('holds on to none of the connections that broke', async () => {
  const self = throwawayServer('FR1');
  const node = await startPeerNode({ name: 'FR2', peers: [peerConfig('FR1', self)] });
  const relay = await openRelay(formatAddress(node.address));
  const connection = connectThrough(relay, node, self, systemClock);
  const added = vi.spyOn(EventTarget.prototype, 'addEventListener');
  try {
    for (let times = 0; times < 5; times += 1) {
      // The first call after a cut may be the one that finds out.
      while ((await getNode(connection).catch(() => null)) === null);
      if (times < 4) relay.cut();
    }
    const signals = new Set(added.mock.contexts.filter((target) => target instanceof AbortSignal));
    const mostOfOne = Math.max(...[...signals].map((signal) => getEventListeners(signal, 'abort').length));
    expect(mostOfOne).toBe(1);
  } finally {
    added.mockRestore();
    connection.close();
    await relay.close();
    await node.stop();
  }
});

it('takes one answer to a question, and gives a peer up that goes on and on', async () => {
  const self = throwawayServer('FR1');
  const hostile = await startHostilePeer('FR2', self, () => ({ nodeAnswers: 2, list: () => [], fetch: () => [] }));
  const connection = connectTo(hostile.peer, self, systemClock);
  try {
    await expect(getNode(connection)).rejects.toMatchObject({
      kind: 'failed',
      message: expect.stringMatching(/^FR2 \(.*\) gave more than one answer$/),
    });
  } finally {
    connection.close();
    await hostile.stop();
  }
});

it.each([
  ['says so', false],
  ['says nothing', true],
])('reaches a peer that lost power and is back, which %s when the old connection is used', async (_, silently) => {
  const self = throwawayServer('FR1');
  const node = await startPeerNode({ name: 'FR2', peers: [peerConfig('FR1', self)] });
  const relay = await openRelay(formatAddress(node.address));
  const clock = new FakeClock();
  const connection = connectThrough(relay, node, self, clock);
  try {
    await getNode(connection);
    // Until the ping that goes with each call is answered.
    while (clock.pending() > 0) await setImmediate();
    relay.forget(silently);
    await clock.advance(15_000);
    const call = getNode(connection);
    if (silently) {
      // The patience of the call, of its ping, and for an idle connection.
      while (clock.pending() < 3) await setImmediate();
      await clock.advance(4_000);
    }
    await expect(call).resolves.toMatchObject({ hostname: 'FR2' });
  } finally {
    connection.close();
    await relay.close();
    await node.stop();
  }
});

it('gives a push up when the link swallows everything, although the peer cannot be told so', async () => {
  const self = throwawayServer('FR1');
  const node = await startPeerNode({ name: 'FR2', peers: [peerConfig('FR1', self)] });
  const relay = await openRelay(formatAddress(node.address));
  const clock = new FakeClock();
  const connection = connectThrough(relay, node, self, clock);
  try {
    const content = randomBytes(24 * 2 ** 20);
    const swallowed = relay.swallowAfter(2 ** 20);
    let sent = 0;
    const push = pushBackup(connection, manifestOf(content, self.signer), {
      ...reading(content),
      progress: (bytes) => {
        sent = bytes;
      },
    });
    let outcome: unknown;
    push.then(
      () => {
        outcome = 'acknowledged';
      },
      (thrown) => {
        outcome = thrown;
      },
    );
    await swallowed;
    // Until the buffers on the way are full.
    for (let before = -1; before !== sent; ) {
      before = sent;
      for (let turn = 0; turn < 5000; turn += 1) await setImmediate();
    }
    await clock.advance(60_000);
    for (let turn = 0; turn < 1000 && outcome === undefined; turn += 1) await setImmediate();
    expect(outcome).toMatchObject({ kind: 'timeout' });
  } finally {
    connection.close();
    await relay.close();
    await node.stop();
  }
});
