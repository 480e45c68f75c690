import { once } from 'node:events';
import { connect as connectHttp2 } from 'node:http2';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { Duplex, Transform } from 'node:stream';
import { setTimeout } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type CallServer, callServer } from '../../../src/node/service/call-server.js';
import { FakeClock } from '../../support/fake-clock.js';
import { frameTypes, rawHttp2 } from '../../support/raw-http2.js';

const pingGap = 30_000;
const pingPatience = 60_000;
const nearWindow = 4 * 2 ** 20;

let clock: FakeClock;
let server: CallServer;
let door: Server;
beforeEach(async () => {
  clock = new FakeClock();
  server = callServer(() => {});
  door = createServer((connection) => {
    connection.on('error', () => {});
    server.serve(connection, { from: 'a test', certificate: undefined, crowd: 'a test' }, clock);
  }).listen(0, '127.0.0.1');
  await once(door, 'listening');
});
afterEach(async () => {
  await new Promise((closed) => door.close(closed));
  await until(() => clock.pending() === 0);
});

const call = (): Socket => connect((door.address() as AddressInfo).port, '127.0.0.1');
async function until(check: () => boolean): Promise<void> {
  while (!check()) await setTimeout(5);
}

describe('a connection', () => {
  it('ends when its other side does not answer a ping for a minute', async () => {
    const socket = call();
    const closed = once(socket, 'close');
    const peer = rawHttp2(socket, 1000);
    await peer.until(frameTypes.settings, 0);
    // The first one measures how far it is.
    await peer.until(frameTypes.ping, 0);
    await clock.advance(pingGap);
    await until(() => peer.came.get(`${frameTypes.ping}:0`) === 2);
    await clock.advance(pingPatience - 1);
    expect(socket.closed).toBe(false);
    await clock.advance(1);
    await closed;
  });

  it('is asked nothing any more when the node takes no calls, so that nothing outlasts the node', async () => {
    const socket = call();
    const peer = rawHttp2(socket, 1000);
    await peer.until(frameTypes.settings, 0);
    server.drain();
    expect(clock.pending()).toBe(0);
    socket.destroy();
  });

  it('lasts for as long as its other side answers', async () => {
    const session = connectHttp2('http://anemone-peer', { createConnection: call });
    let pings = 0;
    session.on('ping', () => {
      pings += 1;
    });
    await once(session, 'remoteSettings');
    await until(() => pings === 1);
    for (let asked = 2; asked <= 4; asked += 1) {
      await clock.advance(pingGap);
      await until(() => pings === asked);
      // Its answer comes before that to a ping of ours.
      await new Promise<void>((resolve) => session.ping(() => resolve()));
    }
    expect(session.closed).toBe(false);
    session.destroy();
  });
});

describe('what a stream may bring before any of it is taken', () => {
  /** The first that the node says, and what it says later, until that is enough. */
  async function windowsUntil(enough: number, socket: Duplex): Promise<(number | undefined)[]> {
    const windows: (number | undefined)[] = [];
    const session = connectHttp2('http://anemone-peer', { createConnection: () => socket });
    session.on('remoteSettings', ({ initialWindowSize }) => windows.push(initialWindowSize));
    await until(() => windows.includes(enough));
    session.destroy();
    return windows;
  }

  /** As over a link of 30 ms. */
  function farAway(socket: Socket): Duplex {
    const outgoing = new Transform({
      transform(bytes, _, sent) {
        void setTimeout(30).then(() => sent(null, bytes));
      },
    });
    outgoing.pipe(socket);
    return Duplex.from({ readable: socket, writable: outgoing });
  }

  it('is 4 MiB, which is more than a near side sends while the other one is busy', async () => {
    expect((await windowsUntil(nearWindow, call()))[0]).toBe(nearWindow);
  });

  it('becomes 8 MiB where the other side is far: as much is on its way over a fast link', async () => {
    expect(await windowsUntil(2 * nearWindow, farAway(call()))).toEqual([nearWindow, 2 * nearWindow]);
  });
});
