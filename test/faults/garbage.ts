import { connect, type TLSSocket } from 'node:tls';
import { callerOptions } from '../../src/mesh/identity/trust.js';
import { getNode } from '../../src/mesh/peers/get-node.js';
import { systemClock } from '../../src/mesh/terms/clock.js';
import { type PeerNode, peerConfig, startPeerNode } from '../support/peer-node.js';
import { bytesOf, type Random, seeded } from './random.js';
import type { Recorder } from './tally.js';
import { serverOf } from './world.js';

const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
const settings = Buffer.from('000000040000000000', 'hex');

/**
 * A peer with a right certificate sends bytes that make no sense; the node has to go on serving another one. Node.js keeps some of
 * these connections until the node finds out that nobody answers its pings, so the peer itself may have none left.
 */
export async function garbageOverTls(recorder: Recorder, connections: number): Promise<void> {
  const random = seeded(recorder.seed);
  const node = await startPeerNode({
    name: 'FR2',
    peers: ['FR1', 'US1'].map((name) => peerConfig(name, serverOf(name))),
  });
  try {
    for (let nth = 0; nth < connections; nth += 1) {
      await send(node, nonsense(nth, random));
      recorder.fault();
      if (nth % 50 !== 49 && nth !== connections - 1) continue;
      const connection = node.callAs(serverOf('US1'));
      await getNode(connection).catch((thrown) => recorder.problem(`after garbage ${nth}: ${String(thrown)}`));
      connection.close();
    }
    const failed = node.log.all.filter(({ event }) => event === 'call failed');
    for (const { fields } of failed) recorder.problem(`a bug showed: ${JSON.stringify(fields)}`);
  } finally {
    await node.stop();
  }
}

/** Random bytes; or HTTP/2 up to a frame that is none; or frames of random types. */
function nonsense(nth: number, random: Random): Buffer {
  const body = bytesOf(`garbage ${nth}`, 1 + random.below(20_000));
  if (random.chance(0.3)) return body;
  if (random.chance(0.3)) return Buffer.concat([preface, settings, body]);
  const frames = Array.from({ length: 1 + random.below(20) }, () => {
    const payload = body.subarray(0, random.below(body.length));
    const header = Buffer.alloc(9);
    header.writeUIntBE(payload.length, 0, 3);
    header[3] = random.below(11);
    header[4] = random.below(256);
    header.writeUInt32BE(random.below(8), 5);
    return Buffer.concat([header, payload]);
  });
  return Buffer.concat([preface, settings, ...frames]);
}

async function send(node: PeerNode, bytes: Buffer): Promise<void> {
  const socket: TLSSocket = connect({
    ...node.address,
    ...callerOptions(serverOf('FR1')),
  });
  // The node may reset the connection, which is no fault: whatever the error, it ends with `close`.
  socket.on('error', () => {});
  const closed = new Promise<void>((resolve) => void socket.once('close', () => resolve()));
  const connected = new Promise<void>((resolve) => void socket.once('secureConnect', resolve));
  await Promise.race([connected, closed]);
  socket.resume();
  socket.write(bytes);
  // The node may close first, or wait politely for more.
  await Promise.race([closed, systemClock.sleep(30)]);
  socket.destroy();
  await closed;
}
