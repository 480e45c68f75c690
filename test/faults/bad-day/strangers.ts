import { connect as connectTcp, type Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { connect, type TLSSocket } from 'node:tls';
import type { ServerIdentity } from '../../../src/mesh/identity/server-identity.js';
import { callerOptions } from '../../../src/mesh/identity/trust.js';
import { systemClock } from '../../../src/mesh/terms/clock.js';
import { serverOf } from '../world.js';
import type { Trouble, Victim } from './victim.js';

/** Resolves when a socket is closed, for whatever reason. */
export function closed(socket: Socket): Promise<unknown> {
  return new Promise((resolve) => socket.once('close', resolve));
}

/** A TLS connection to the victim, with the certificate of `caller`; nothing is sent over it. */
export function openTls({ peer }: Victim, caller: ServerIdentity): TLSSocket {
  const socket = connect({ ...peer.address, ...callerOptions(caller) });
  return socket.on('error', () => {});
}

/** 200 connections of a stranger at once, and again and again. */
export const strangers: Trouble = {
  name: 'a crowd of strangers',
  async run(victim, scale) {
    const since = victim.server.events.all.length;
    const handles = victim.handles();
    for (let round = 0; round < (scale === 'long' ? 100 : 5); round += 1) {
      const crowd = Array.from({ length: 200 }, () => openTls(victim, serverOf('STRANGER')));
      const gone = crowd.map((socket) => closed(socket.resume()));
      await victim.serves('in a crowd of strangers');
      await Promise.all(gone);
    }
    victim.logSays(since, 'in a crowd of strangers', /stranger refused/);
    await victim.recovers(this.name);
    if (victim.handles() > handles + 20) victim.recorder.leftover(`${victim.handles() - handles} handles of strangers`);
  },
};

/** Milliseconds in which a handshake has to end, and some for a busy machine. */
const handshakePatience = 20_000;

/** Strangers that say nothing, or one byte of a handshake now and then. */
export const slowStrangers: Trouble = {
  name: 'strangers that are slow',
  async run(victim) {
    const { host, port } = victim.peer.address;
    const hello = await clientHello();
    const sockets: Socket[] = [];
    for (let nth = 0; nth < 200; nth += 1)
      sockets.push(
        connectTcp(port, host)
          .on('error', () => {})
          .resume(),
      );
    const gone = Promise.all(sockets.map((socket) => closed(socket)));
    const start = performance.now();
    let over = false;
    void gone.then(() => {
      over = true;
    });
    for (let at = 0; !over && performance.now() - start < handshakePatience; at += 1) {
      for (const socket of sockets.slice(100)) if (socket.writable) socket.write(hello.subarray(at, at + 1));
      await victim.serves('among slow strangers');
      await systemClock.sleep(500);
    }
    const left = sockets.filter((socket) => !socket.closed);
    if (left.length > 0) victim.recorder.problem(`${left.length} handshakes are still open after 20 s`);
    for (const socket of left) socket.destroy();
    await victim.recovers(this.name);
  },
};

/** The first bytes of a handshake. */
async function clientHello(): Promise<Buffer> {
  const sent: Buffer[] = [];
  const wire = new Duplex({
    read() {},
    write(chunk, _, callback) {
      sent.push(chunk);
      callback();
    },
  });
  const socket = connect({ socket: wire, minVersion: 'TLSv1.3' }).on('error', () => {});
  await systemClock.sleep(50);
  socket.destroy();
  return Buffer.concat(sent);
}
