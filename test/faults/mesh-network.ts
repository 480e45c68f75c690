import type { ClientHttp2Stream, ServerHttp2Stream } from 'node:http2';
import { Duplex, PassThrough, pipeline } from 'node:stream';
import { setTimeout } from 'node:timers/promises';
import { openChannelCount } from '../../src/mesh/peers/channel-count.js';
import { bulkPatience, type Connection, controlPatience } from '../../src/mesh/peers/connection.js';
import { describePeer } from '../../src/mesh/peers/peer.js';
import type { Channel } from '../../src/mesh/wire/channel.js';
import type { Framed } from '../../src/mesh/wire/frames.js';
import { peerService } from '../../src/mesh/wire/methods.js';
import { okStatus, statusFromFailure, trailersOf } from '../../src/mesh/wire/status.js';
import type { OutboxPeer } from '../../src/node/outbox/deliver.js';
import { outboxPeer } from '../../src/node/outbox/outbox-peer.js';
import { rateLimit } from '../../src/node/outbox/rate-limit.js';
import { type Answer, answersTo } from '../../src/node/service/answers.js';
import { offerBackup } from '../../src/node/service/offer-backup.js';
import { pushBackup } from '../../src/node/service/push-backup.js';
import type { Vault } from '../../src/node/vault/vault.js';
import type { MeshNode } from './mesh-node.js';
import { type Random, seeded } from './random.js';
import { identityOf } from './world.js';

/** The network of the simulated mesh. Every pair of servers has a fate of its own, by the seed. */
export interface Network {
  readonly nodes: MeshNode[];
  /** How often a message meets trouble, from 0 to 1. */
  trouble: number;
  /** Messages that wait for the clock; without any, it is the disk of this machine that takes its time. */
  waiting: number;
  /** Passes time for everybody. */
  advance(ms: number): Promise<void>;
  /** Lets the machine do what was begun. */
  breathe(): Promise<void>;
  fateOf(from: string, to: string): Random;
}

export function lyingNetwork(seed: number): Network {
  const nodes: MeshNode[] = [];
  const fates = new Map<string, Random>();
  return {
    nodes,
    trouble: 0,
    waiting: 0,
    async advance(ms) {
      for (const node of nodes) await node.clock.advance(ms);
    },
    breathe: () => setTimeout(2),
    fateOf(from, to) {
      const pair = `${from} ${to}`;
      const fate =
        fates.get(pair) ?? seeded(seed * 31 + [...pair].reduce((sum, letter) => sum * 7 + letter.charCodeAt(0), 0));
      fates.set(pair, fate);
      return fate;
    },
  };
}

const troubles = ['lost request', 'lost answer', 'twice', 'never', 'late'] as const;

/** A peer, as a node has it, over calls that are lost, doubled, late or cut: all but the connection is what a node runs. */
export function peerOf(from: MeshNode, vault: Vault, to: MeshNode, network: Network): OutboxPeer {
  const limit = rateLimit(from.clock, () => 0);
  return outboxPeer(connectionTo(from, to, network), vault, identityOf(from.name), limit);
}

function connectionTo(from: MeshNode, to: MeshNode, network: Network): Connection {
  const peer = { name: to.name, identity: identityOf(to.name), address: { host: to.name, port: 7443 } };
  const channel = (patience: number): Channel => ({
    whom: describePeer(peer),
    clock: from.clock,
    patience,
    async connect() {},
    async open(path) {
      const fate = network.fateOf(from.name, to.name);
      const trouble = fate.chance(network.trouble) ? fate.pick(troubles) : null;
      const { vault } = to;
      if (vault === null || trouble === 'lost request') throw new Error('nobody is there');
      const isCut = path === peerService.pushBackup.path && fate.chance(network.trouble);
      const stream = new CallStream(network, isCut ? fate.below(200_000) : Number.POSITIVE_INFINITY);
      const delay = trouble === 'never' ? 10 * 86_400_000 : trouble === 'late' ? fate.below(20_000) : 0;
      void answerOver(stream, { trouble, delay }, answerOf(path, vault, from, to), from, network);
      return stream as Duplex as ClientHttp2Stream;
    },
    close() {},
  });
  const openBulk = (): Channel => channel(bulkPatience);
  return {
    peer,
    control: channel(controlPatience),
    bulk: openBulk(),
    openBulk,
    channelCount: openChannelCount(from.clock),
    close() {},
  };
}

/** How a node answers the calls of a delivery, without the listener that has proven who calls. */
function answerOf(path: string, vault: Vault, from: MeshNode, { clock }: MeshNode): Answer {
  const caller = { name: from.name, identity: identityOf(from.name), key: from.name, quota: 0, reads: [] };
  const { unary, clientStream } = answersTo(() => caller, clock);
  return path === peerService.offerBackup.path
    ? unary(peerService.offerBackup, (request) => offerBackup(vault, request, caller))
    : clientStream(peerService.pushBackup, (requests, incoming) => pushBackup(vault, requests, incoming, clock));
}

/** The caller's end of a call: what is written to it arrives at the other one, up to where it is cut. */
class CallStream extends Duplex {
  readonly arriving = new PassThrough();
  readonly #gone = new AbortController();
  readonly #network: Network;
  #left: number;

  constructor(network: Network, cutAfter: number) {
    super();
    this.#network = network;
    this.#left = cutAfter;
  }

  /** Aborts when the call is over. */
  get gone(): AbortSignal {
    return this.#gone.signal;
  }

  /** What one of HTTP/2 has: it is always destroyed after. */
  close(): void {}

  override _read(): void {}

  override _write(chunk: Buffer, _: unknown, done: (cause?: Error | null) => void): void {
    const passes = chunk.subarray(0, this.#left);
    this.#left -= passes.length;
    this.arriving.write(passes, passes.length < chunk.length ? () => this.#cut() : done);
  }

  /** What was on its way before arrives. */
  async #cut(): Promise<void> {
    await this.#network.breathe();
    this.destroy(new Error('the link was cut'));
  }

  override _final(done: () => void): void {
    this.arriving.end();
    done();
  }

  override _destroy(cause: Error | null, done: (cause: Error | null) => void): void {
    this.#gone.abort();
    this.arriving.destroy();
    done(cause);
  }
}

/** What becomes of a call. */
interface Hindrance {
  readonly trouble: (typeof troubles)[number] | null;
  /** Milliseconds until it is answered. */
  readonly delay: number;
}

async function answerOver(
  stream: CallStream,
  { trouble, delay }: Hindrance,
  answer: Answer,
  from: MeshNode,
  network: Network,
): Promise<void> {
  const { gone, arriving } = stream;
  const wait = async (): Promise<void> => {
    network.waiting += 1;
    await from.clock.sleep(delay, gone).finally(() => {
      network.waiting -= 1;
    });
  };
  const given = async (requests: PassThrough): Promise<Framed[]> => {
    const messages: Framed[] = [];
    const call = { from: from.name, certificate: undefined, crowd: from.name, path: answer.path };
    for await (const each of answer.messages(requests as Duplex as ServerHttp2Stream, call, gone)) messages.push(each);
    return messages;
  };
  try {
    if (delay > 0) await wait();
    const copy = (): PassThrough => pipeline(arriving, new PassThrough(), () => {});
    const results = await Promise.allSettled((trouble === 'twice' ? [copy(), copy()] : [arriving]).map(given));
    if (trouble === 'lost answer') {
      stream.destroy();
      return;
    }
    const done = results.find((result) => result.status === 'fulfilled') ?? results[0];
    if (done?.status !== 'fulfilled') throw done?.reason;
    for (const piece of done.value.flat()) stream.push(piece);
    stream.emit('trailers', trailersOf(okStatus));
  } catch (thrown) {
    stream.emit('trailers', trailersOf(statusFromFailure(thrown)));
  }
  stream.push(null);
}
