import { once, setMaxListeners } from 'node:events';
import { type ClientHttp2Session, connect } from 'node:http2';
import { signManifest } from '../../../src/mesh/manifest/manifest.js';
import { offerBackup } from '../../../src/mesh/peers/offer-backup.js';
import { pushBackup } from '../../../src/mesh/peers/push-backup.js';
import { systemClock } from '../../../src/mesh/terms/clock.js';
import { callUnary } from '../../../src/mesh/wire/calls.js';
import { framed } from '../../../src/mesh/wire/frames.js';
import { longestChunk } from '../../../src/mesh/wire/limits.js';
import { peerService } from '../../../src/mesh/wire/methods.js';
import { factsAbout, manifestOf } from '../../support/manifests.js';
import { frameTypes, rawHttp2 } from '../../support/raw-http2.js';
import { reading } from '../../support/reading.js';
import { bytesOf } from '../random.js';
import { serverOf } from '../world.js';
import { minimumFree } from './disks.js';
import { closed, openTls } from './strangers.js';
import type { Trouble, Victim } from './victim.js';

/** Mebibytes that the process may grow by while a bad peer does its worst. */
const mostGrowth = 96;

function notGrown(victim: Victim, before: number, when: string): void {
  const { now } = victim.memory();
  if (now - before > mostGrowth) {
    victim.recorder.problem(`${when}, the memory grew from ${before.toFixed(0)} to ${now.toFixed(0)} MiB`);
  }
}

/** A peer without a quota that offers very many backups, as small as can be, and sends none of them. */
export const manyOffers: Trouble = {
  name: 'a peer with very many offers',
  async run(victim, scale) {
    const bad = serverOf('BAD');
    const connection = victim.callAs(bad);
    const before = victim.memory().now;
    const since = victim.server.events.all.length;
    const offers = scale === 'long' ? 100_000 : 3_000;
    let taken = 0;
    const offer = async (nth: number): Promise<void> => {
      const facts = factsAbout(Buffer.alloc(1), bad.signer, {
        owner: 'BAD',
        createdAtMs: 1e12 + nth * 1000,
        size: 1,
      });
      const manifest = signManifest(facts, bad.signer);
      await callUnary(connection.control, peerService.offerBackup, { manifest }).then(
        () => {
          taken += 1;
        },
        () => {},
      );
    };
    for (let nth = 0; nth < offers; nth += 50) {
      await Promise.all(Array.from({ length: 50 }, (_, more) => offer(nth + more)));
      if (nth % 1_000 === 0) await victim.serves('among very many offers');
    }
    connection.close();
    // One is that of the slow peer.
    if (taken < 99 || taken > 100) victim.recorder.problem(`${taken} of ${offers} offers were taken`);
    const { free } = await victim.status();
    if (free < minimumFree) victim.recorder.problem(`the floor of the disk was broken: ${free} bytes are free`);
    notGrown(victim, before, `after ${offers} offers`);
    victim.logSays(since, 'among very many offers', /100 unfinished backups/);
    await victim.recovers(this.name);
  },
};

/** Milliseconds in which a node gives up a peer that is too slow: a minute for an upload, more for one that is silent. */
const slowness = 130_000;
const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');

/** A peer that sends a byte now and then: of its first HTTP/2 frame, and of many uploads at a time. */
export const slowPeer: Trouble = {
  name: 'a peer that is slow',
  async run(victim, scale) {
    const bad = serverOf('BAD');
    const connection = victim.callAs(bad);
    const content = bytesOf('slow', 1_000_000);
    const manifest = manifestOf(content, bad.signer, { owner: 'BAD', createdAtMs: 2e12 });
    await offerBackup(connection, manifest);
    const stop = new AbortController();
    setMaxListeners(0, stop.signal);
    let running = 0;
    const trickle = async (): Promise<void> => {
      running += 1;
      await pushBackup(connection, manifest, {
        async *read() {
          for (let at = 0; at < content.length; at += 1) {
            yield content.subarray(at, at + 1);
            await systemClock.sleep(500, stop.signal);
          }
        },
        signal: stop.signal,
      }).catch(() => {});
      running -= 1;
    };
    const sockets = Array.from({ length: 20 }, () => openTls(victim, bad).resume());
    const uploads = Promise.all(Array.from({ length: 16 }, trickle));
    const end = performance.now() + (scale === 'long' ? slowness : 3_000);
    const isOver = (): boolean => running === 0 && sockets.every((socket) => socket.closed);
    for (let at = 0; !isOver() && performance.now() < end; at += 1) {
      for (const socket of sockets) if (socket.writable) socket.write(preface.subarray(at % 20, (at % 20) + 1));
      await victim.serves('beside a slow peer');
      await systemClock.sleep(500);
    }
    if (scale === 'long' && !isOver()) {
      const open = sockets.filter((socket) => !socket.closed).length;
      victim.recorder.problem(`of a slow peer, ${running} uploads and ${open} connections were never given up`);
    }
    stop.abort();
    await uploads;
    for (const socket of sockets) socket.destroy();
    connection.close();
    await victim.recovers(this.name);
  },
};

/** A peer that takes nothing of an answer, and sends more than a million frames of one byte after its request. */
export const tinyFrames: Trouble = {
  name: 'a peer that sends tiny frames',
  async run(victim) {
    const bad = serverOf('BAD');
    const connection = victim.callAs(bad);
    const content = bytesOf('tiny frames', 1_000_000);
    const manifest = manifestOf(content, bad.signer, { owner: 'BAD', createdAtMs: 3e12 });
    await pushBackup(connection, manifest, reading(content));
    connection.close();
    const before = victim.memory().now;
    const socket = openTls(victim, bad);
    await once(socket, 'secureConnect');
    const peer = rawHttp2(socket, 0);
    const { path, requests } = peerService.fetchBackup;
    const whole = { name: manifest.facts.name, offset: 0, length: 0, manifestDigest: Buffer.alloc(0) };
    peer.call(1, path);
    peer.data(1, Buffer.concat(requests.toWire(whole)));
    await peer.until(frameTypes.headers, 1);
    const frames = Array.from({ length: 10_000 }, () => Buffer.of(0));
    for (let nth = 0; nth < 120; nth += 1) {
      peer.data(1, ...frames);
      if (nth % 20 === 0) await victim.serves('among tiny frames');
    }
    while (socket.writableLength > 0 && !socket.destroyed) await systemClock.sleep(50);
    await victim.serves('among tiny frames');
    notGrown(victim, before, 'among tiny frames');
    socket.destroy();
    await victim.recovers(this.name);
  },
};

/** A peer that opens thousands of streams over many connections, sends most of a message in each, and then nothing more. */
export const manyStreams: Trouble = {
  name: 'a peer with very many streams',
  async run(victim) {
    const before = victim.memory().now;
    const handles = victim.handles();
    const sessions: ClientHttp2Session[] = [];
    const since = victim.server.events.all.length;
    for (let nth = 0; nth < 100; nth += 1) {
      const session = await openSession(victim);
      if (session === null) continue;
      sessions.push(session);
      for (let stream = 0; stream < 100; stream += 1) halfCall(session);
      if (nth % 10 === 0) await victim.serves('among very many streams');
    }
    await systemClock.sleep(1_000);
    await victim.serves('among very many streams');
    // It waits for as many as it may: none of them was refused for its message.
    victim.logSays(since, 'among very many streams', /64 calls under way/);
    notGrown(victim, before, `among ${sessions.length * 100} streams`);
    for (const session of sessions) session.destroy();
    await victim.recovers(this.name);
    if (victim.handles() > handles + 20) victim.recorder.leftover(`${victim.handles() - handles} handles of streams`);
  },
};

/** Null where the node refuses it. */
async function openSession(victim: Victim): Promise<ClientHttp2Session | null> {
  const socket = openTls(victim, serverOf('BAD'));
  const gone = closed(socket);
  await Promise.race([new Promise((resolve) => socket.once('secureConnect', resolve)), gone]);
  if (socket.destroyed) return null;
  const session = connect('https://anemone-peer', { createConnection: () => socket }).on('error', () => {});
  await Promise.race([new Promise((resolve) => session.once('remoteSettings', resolve)), gone]);
  return socket.destroyed ? null : session;
}

/** A call that is waited for: of a message of the longest chunk, all is sent but the last byte. */
function halfCall(session: ClientHttp2Session): void {
  const stream = session.request({
    ':method': 'POST',
    ':path': peerService.pushBackup.path,
    'content-type': 'application/grpc',
    te: 'trailers',
  });
  stream.on('error', () => {});
  stream.write(Buffer.concat(framed(Buffer.alloc(longestChunk))).subarray(0, -1));
}
