import { setTimeout } from 'node:timers/promises';
import type { SignedReceipt } from '../../src/mesh/generated/anemone/backup/v1/backup.js';
import type { OfferBackupResponse, PushBackupRequest, Range } from '../../src/mesh/generated/anemone/peer/v1/peer.js';
import { type VerifiedManifest, verifyManifest } from '../../src/mesh/manifest/manifest.js';
import { verifyReceipt } from '../../src/mesh/manifest/receipt.js';
import { Failure } from '../../src/mesh/terms/failure.js';
import type { OutboxPeer } from '../../src/node/outbox/deliver.js';
import { offerBackup } from '../../src/node/service/offer-backup.js';
import { pushBackup } from '../../src/node/service/push-backup.js';
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

type Trouble = 'lost request' | 'lost answer' | 'twice' | 'never' | 'late';

const troubles: readonly Trouble[] = ['lost request', 'lost answer', 'twice', 'never', 'late'];

/** A peer, as the outbox sees it: the service's own code, over messages that are lost, doubled, late or cut. */
export function peerOf(from: MeshNode, to: MeshNode, network: Network): OutboxPeer {
  const fate = network.fateOf(from.name, to.name);
  const gone = (): Failure => new Failure('unreachable', `${to.name} cannot be reached`);

  async function wait(ms: number, signal: AbortSignal): Promise<void> {
    network.waiting += 1;
    try {
      await from.clock.sleep(ms, signal);
    } finally {
      network.waiting -= 1;
    }
  }

  async function call<T>(work: () => Promise<T>, signal: AbortSignal): Promise<T> {
    const trouble = fate.chance(network.trouble) ? fate.pick(troubles) : null;
    if (to.vault === null || trouble === 'lost request') throw gone();
    if (trouble === 'never') await wait(10 * 86_400_000, signal);
    if (trouble === 'late') await wait(20_000, signal);
    const results = await Promise.allSettled(trouble === 'twice' ? [work(), work()] : [work()]);
    if (trouble === 'lost answer') throw gone();
    const done = results.find((result) => result.status === 'fulfilled');
    if (done !== undefined) return done.value;
    throw results[0]?.status === 'rejected' ? results[0].reason : gone();
  }

  return {
    name: to.name,
    identity: identityOf(to.name),
    async push(backup, { progress, signal }) {
      const vault = from.vault;
      if (vault === null) throw gone();
      const { manifest: signed } = await vault.held(backup.name);
      if (signed === undefined) throw new Failure('damaged', 'no manifest');
      const manifest = verifyManifest(signed, identityOf(from.name));
      const caller = { name: from.name, identity: identityOf(from.name), key: from.name, quota: 0, reads: [] };
      const answer = await call(() => offerTo(to, manifest, caller), signal);
      let missing: readonly Range[] = answer.answer?.$case === 'missing' ? answer.answer.value.ranges : [];
      if (answer.answer?.$case === 'held') return believed(answer.answer.value, to, manifest);
      for (let turn = 0; turn < 20; turn += 1) {
        const range = missing[0];
        if (range === undefined) break;
        // A cut ends the stream of parts before its end.
        const cutAt = fate.chance(network.trouble) ? fate.below(4) : Number.POSITIVE_INFINITY;
        const parts = async function* (): AsyncGenerator<readonly PushBackupRequest[]> {
          yield [{ part: { $case: 'header', value: { manifestDigest: manifest.digest, range } } }];
          let sent = 0;
          for await (const chunk of vault.read(backup.name, range.offset, range.length)) {
            for (let at = 0; at < chunk.length; at += 50_000) {
              if (sent === cutAt) return;
              sent += 1;
              yield [{ part: { $case: 'chunk', value: chunk.subarray(at, at + 50_000) } }];
              progress(at);
            }
          }
          if (cutAt < Number.POSITIVE_INFINITY) return;
          yield [{ part: { $case: 'end', value: {} } }];
        };
        const { answer: taken } = await call(async () => {
          const sending = parts();
          try {
            return await pushTo(to, sending, caller, signal);
          } finally {
            await sending.return(undefined);
          }
        }, signal);
        if (taken?.$case === 'receipt') return believed(taken.value, to, manifest);
        missing = taken?.value.ranges ?? [];
      }
      throw new Failure('failed', `${to.name} asks for parts that make no sense`);
    },
  };
}

type Caller = Parameters<typeof offerBackup>[2];

async function offerTo(to: MeshNode, manifest: VerifiedManifest, caller: Caller): Promise<OfferBackupResponse> {
  if (to.vault === null) throw new Failure('unreachable', `${to.name} is down`);
  return offerBackup(to.vault, { manifest: manifest.signed }, caller);
}

async function pushTo(
  to: MeshNode,
  parts: AsyncIterable<readonly PushBackupRequest[]>,
  caller: Caller,
  signal: AbortSignal,
) {
  if (to.vault === null) throw new Failure('unreachable', `${to.name} is down`);
  return pushBackup(to.vault, parts, { caller, signal }, to.clock);
}

function believed(receipt: SignedReceipt, to: MeshNode, manifest: VerifiedManifest): SignedReceipt {
  verifyReceipt(receipt, identityOf(to.name), manifest.digest);
  return receipt;
}
