import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Connection } from '../../src/mesh/peers/connection.js';
import { connectTo } from '../../src/mesh/peers/connection.js';
import { pushBackup } from '../../src/mesh/peers/push-backup.js';
import { type Clock, systemClock } from '../../src/mesh/terms/clock.js';
import { Failure } from '../../src/mesh/terms/failure.js';
import { type PeerNode, peerConfig, startPeerNode } from '../support/peer-node.js';
import { type CuttingRelay, cuttingRelay, type Strike } from './cutting-relay.js';
import { type Random, seeded } from './random.js';
import type { Kind, Recorder, Scale } from './tally.js';
import { isIntact, type Sample, sampleOf, serverOf } from './world.js';

/** Bytes of a chunk: those of a backup come in several. */
const chunkSize = 65_536;

/** A day in which a minute is over in a second: what is blackholed is given up soon. */
const hasty: Clock = {
  now: () => systemClock.now(),
  monotonic: () => systemClock.monotonic() * 60,
  after: (ms, callback) => systemClock.after(ms / 60, callback),
  sleep: (ms, signal) => systemClock.sleep(ms / 60, signal),
};

/**
 * The link between pusher and receiver fails at the end of every TLS record of a push, and one byte before and after, in
 * both directions and on both connections: before the connection, in the handshake, in the offer, at every part of the
 * upload, and between the commit and its acknowledgement.
 */
export const link: Kind = {
  name: 'link',
  title: 'link cut or blackholed',
  async run(recorder, scale) {
    const sizes: Record<Scale, number[]> = { short: [140_000], long: [1, 65_536, 65_537, 140_000, 600_000] };
    const random = seeded(recorder.seed);
    const node = await startPeerNode({ name: 'FR2', peers: [peerConfig('FR1', serverOf('FR1'))], clock: hasty });
    const relay = await cuttingRelay(node.address);
    const classes = new Map<string, number>();
    let nth = 0;
    const next = (size: number): Sample => {
      nth += 1;
      return sampleOf('FR1', nth, size);
    };
    try {
      for (const size of sizes[scale]) {
        for (const strike of await strikes(node, relay, next(size))) {
          if (scale === 'short' && random.chance(0.7)) continue;
          const where = await suffer(node, relay, next(size), strike, random, recorder);
          if (where !== null) classes.set(where, (classes.get(where) ?? 0) + 1);
        }
      }
    } finally {
      await relay.close();
      await node.stop();
    }
    recorder.note = [...classes].map(([where, count]) => `${count} ${where}`).join(', ');
    for (const where of ['before the connection', 'after the commit', 'in the bytes']) {
      if (!classes.has(where)) recorder.problem(`no link failed ${where}`);
    }
  },
};

/** Pushes once undisturbed, and derives from what passed where the link may fail. */
async function strikes(node: PeerNode, relay: CuttingRelay, sample: Sample): Promise<Strike[]> {
  relay.arm(null, () => {});
  const connection = connectThrough(relay, node, systemClock);
  await push(connection, sample);
  connection.close();
  const found: Strike[] = [];
  for (const number of [0, 1]) {
    for (const direction of ['up', 'down'] as const) {
      const ends = relay.records(number, direction);
      const offsets = new Set([0, 1, ...ends.flatMap((end) => [end - 1, end, end + 1])]);
      for (const at of offsets) {
        for (const how of ['cut', 'blackhole'] as const) found.push({ connection: number, direction, at, how });
      }
    }
  }
  return found;
}

function connectThrough(relay: CuttingRelay, node: PeerNode, clock: Clock): Connection {
  const peer = { name: node.name, address: relay.address, identity: node.server.identity };
  return connectTo(peer, serverOf('FR1'), clock);
}

/** @returns the bytes that were sent */
async function push(connection: Connection, { content, manifest }: Sample): Promise<number> {
  let sent = 0;
  await pushBackup(connection, manifest, {
    async *read(offset, length) {
      for (let at = offset; at < offset + length; at += chunkSize) {
        const chunk = content.subarray(at, Math.min(at + chunkSize, offset + length));
        sent += chunk.length;
        yield chunk;
      }
    },
  });
  return sent;
}

/** One push over a link that fails, and then over one that works. @returns where it failed; null when it did not */
async function suffer(
  node: PeerNode,
  relay: CuttingRelay,
  sample: Sample,
  strike: Strike,
  random: Random,
  recorder: Recorder,
): Promise<string | null> {
  const { name } = sample.manifest.facts;
  const what = `${strike.how} ${strike.direction} of connection ${strike.connection} at ${strike.at}`;
  let where: string | null = null;
  let reading = false;
  relay.arm(strike, () => {
    if (strike.at === 0 && strike.direction === 'up') where = 'before the connection';
    else if (node.vault.find(name) !== null) where = 'after the commit';
    else if (reading) where = 'in the bytes';
    else where = strike.connection === 0 ? 'in the offer' : 'before the header';
  });
  const connection = connectThrough(relay, node, hasty);
  const watched = { ...sample, content: new Proxy(sample.content, { get: (target, key) => look(target, key) }) };
  const look = (target: Buffer, key: string | symbol): unknown => {
    reading = true;
    const value = Reflect.get(target, key) as unknown;
    return typeof value === 'function' ? value.bind(target) : value;
  };
  const outcome = await push(connection, watched).then(
    () => 'acknowledged' as const,
    (thrown: unknown) => thrown,
  );
  connection.close();
  const acknowledged = outcome === 'acknowledged';
  if (acknowledged && node.vault.find(name) === null) recorder.lost(`${what}: ${name}`);
  if (!acknowledged && !(outcome instanceof Failure)) recorder.problem(`${what}: threw ${String(outcome)}`);
  if (where !== null) recorder.fault();

  relay.heal(random.pick(['resume', 'close']));
  const held = node.vault.find(name) !== null;
  const sent = await insist(relay, node, sample, what, recorder);
  if (sent === null) return where;
  recorder.acknowledged();
  if (held && sent > 0) recorder.problem(`${what}: ${sent} bytes were sent again of a backup that was held`);
  if (!(await isIntact(node.vault, name, sample.manifest.facts))) recorder.lost(`${what}: ${name}`);
  return where;
}

/** Tries as the outbox does, a few times. @returns the bytes of the push that was acknowledged */
async function insist(
  relay: CuttingRelay,
  node: PeerNode,
  sample: Sample,
  what: string,
  recorder: Recorder,
): Promise<number | null> {
  let last: unknown;
  for (let attempt = 0; attempt < 5; attempt += 1) {
    relay.arm(null, () => {});
    const connection = connectThrough(relay, node, systemClock);
    try {
      const sent = await push(connection, sample);
      const left = await readdir(join(node.data, '.incoming'));
      // A connection that was blackholed may still be on its way out.
      if (left.some((file) => file.endsWith('.tmp'))) recorder.leftover(`${what}: ${left.join(', ')}`);
      return sent;
    } catch (thrown) {
      last = thrown;
      await systemClock.sleep(200);
    } finally {
      connection.close();
    }
  }
  recorder.problem(`${what}: the next pushes failed too: ${String(last)}`);
  return null;
}
