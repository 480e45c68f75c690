import { readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { HeldBackup } from '../../src/mesh/generated/anemone/backup/v1/backup.js';
import { DigestTree, hashSize, leafSize } from '../../src/mesh/manifest/digest-tree.js';
import { signReceipt } from '../../src/mesh/manifest/receipt.js';
import { Failure } from '../../src/mesh/terms/failure.js';
import { openReceipts, type Receipts } from '../../src/node/outbox/receipts.js';
import type { Vault } from '../../src/node/vault/vault.js';
import { fastFolder, push } from '../node/vault/fixture.js';
import { silent } from '../support/events.js';
import { flipBit } from '../support/flip-bit.js';
import { type Random, seeded } from './random.js';
import type { Kind, Recorder } from './tally.js';
import { FR1, FR2, isIntact, type Sample, sampleOf, serverOf, vaultOfFR1 } from './world.js';

/** Flips in one vault, before a new one is made. */
const atOnce = 100;

/**
 * One random bit of one file on the disk is turned over: in the bytes of a backup, its manifest, its leaf hashes, a receipt,
 * or an upload in progress. It has to be found, and what its owner has must mend it.
 */
export const bitFlips: Kind = {
  name: 'bit-flips',
  title: 'one bit flipped on the disk',
  async run(recorder, scale) {
    const random = seeded(recorder.seed);
    const flips = scale === 'long' ? 10_000 : 300;
    const counts = new Map<string, number>();
    while (recorder.faults < flips) {
      const folder = await fastFolder();
      try {
        for (let flip = 0; flip < atOnce && recorder.faults < flips; flip += 1) {
          const [place, suffer] = random.pick(Object.entries(places));
          const sample = sampleOf('FR2', recorder.faults, 1 + random.below(200_000));
          await suffer({ folder, sample, random, recorder, what: `flip ${recorder.faults} in ${place}` });
          counts.set(place, (counts.get(place) ?? 0) + 1);
          recorder.fault();
        }
      } finally {
        await rm(folder, { recursive: true, force: true });
      }
    }
    recorder.note = [...counts].map(([place, count]) => `${count} in ${place}`).join(', ');
  },
};

interface Trial {
  readonly folder: string;
  readonly sample: Sample;
  readonly random: Random;
  readonly recorder: Recorder;
  readonly what: string;
}

const places: Readonly<Record<string, (trial: Trial) => Promise<void>>> = {
  data: (trial) => stored(trial, (vault) => vault.layout.backup(trial.sample.manifest.facts.name).data),
  manifests: (trial) => stored(trial, (vault) => vault.layout.backup(trial.sample.manifest.facts.name).sidecar),
  leaves: leafHashes,
  receipts,
  uploads,
};

async function flipOneBit(path: string, random: Random): Promise<void> {
  const bit = random.below((await stat(path)).size * 8);
  await flipBit(path, Math.floor(bit / 8), bit % 8);
}

/** A backup that is held: before or after a restart of the node, the examination finds it, and it is not held any more. */
async function stored(trial: Trial, place: (vault: Vault) => string): Promise<void> {
  const { folder, sample, random, recorder, what } = trial;
  const { name } = sample.manifest.facts;
  const before = await vaultOfFR1(folder);
  await push(before, sample.manifest, sample.content);
  recorder.acknowledged();
  const said = HeldBackup.encode(await before.held(name)).finish();
  await flipOneBit(place(before), random);
  const vault = random.chance(0.5) ? before : await vaultOfFR1(folder);
  if (vault.find(name) !== null) {
    const found = await vault.examine(name).then(
      () => null,
      (thrown: unknown) => thrown,
    );
    if (found === null) {
      if (!(await saysTheSame(vault, name, said))) recorder.damaged(`${what}: it is not found`);
    } else {
      if (!(found instanceof Failure && found.kind === 'damaged')) recorder.damaged(`${what}: ${String(found)}`);
      if (vault.find(name) !== null) recorder.damaged(`${what}: it is still listed`);
    }
  }
  await mend(vault, trial);
  await rm(join(folder, '.quarantine'), { recursive: true, force: true });
}

/**
 * A few bits of a message say how long a part of it is, although the part itself says so too: nothing that is read depends
 * on them, and the bytes of the backup are still compared.
 */
async function saysTheSame(vault: Vault, name: string, before: Uint8Array): Promise<boolean> {
  return Buffer.from(HeldBackup.encode(await vault.held(name)).finish()).equals(before);
}

/** The owner sends it again. */
async function mend(vault: Vault, { sample, recorder, what, folder }: Trial): Promise<void> {
  const { name } = sample.manifest.facts;
  try {
    await push(vault, sample.manifest, sample.content);
    if (!(await isIntact(vault, name, sample.manifest.facts))) recorder.lost(`${what}: it was not mended`);
    await vault.examine(name);
  } catch (thrown) {
    recorder.lost(`${what}: it cannot be mended: ${String(thrown)}`);
  }
  for (const file of await readdir(join(folder, '.incoming'))) recorder.leftover(`${what}: .incoming/${file}`);
}

/** Leaf hashes are derived: whoever asks gets those that lead to the signed root. */
async function leafHashes(trial: Trial): Promise<void> {
  const { folder, sample, random, recorder, what } = trial;
  const { name, treeRoot } = sample.manifest.facts;
  const vault = await vaultOfFR1(folder);
  await push(vault, sample.manifest, sample.content);
  recorder.acknowledged();
  // Of a backup that came whole nobody has written them down until they are asked for.
  for await (const _ of vault.leaves(name));
  await flipOneBit(vault.layout.leavesOf(sample.manifest.digest), random);
  const tree = new DigestTree();
  for await (const hashes of vault.leaves(name)) {
    for (let at = 0; at < hashes.length; at += hashSize) tree.addLeaf(hashes.subarray(at, at + hashSize));
  }
  if (!tree.root().equals(treeRoot)) recorder.damaged(`${what}: the leaves do not lead to the root`);
  if (vault.find(name) === null) recorder.lost(`${what}: a good backup was put away`);
}

/** A receipt on the owner's side: it proves nothing any more, so the backup is owed, and the peer gives it again. */
async function receipts(trial: Trial): Promise<void> {
  const { folder, sample, random, recorder, what } = trial;
  const { facts, digest } = sample.manifest;
  const vault = await vaultOfFR1(folder);
  await push(vault, sample.manifest, sample.content);
  recorder.acknowledged();
  const kept: Receipts = openReceipts(join(folder, '.state/receipts'), silent, () => false);
  const peer = { name: FR1, identity: serverOf('FR1').identity };
  const backup = { ...facts, createdAt: facts.createdAtMs, digest };
  await kept.keep(peer, backup, signReceipt({ manifestDigest: digest, receivedAt: 1 }, serverOf('FR1').signer));
  await flipOneBit(join(folder, '.state/receipts/FR1', `${facts.name}.receipt`), random);
  if ((await kept.held(peer, [backup])).has(facts.name)) recorder.damaged(`${what}: the receipt is believed`);
  const offer = await vault.offer(FR2, sample.manifest);
  if ('held' in offer) await kept.keep(peer, backup, offer.held);
  if (!(await kept.held(peer, [backup])).has(facts.name)) recorder.lost(`${what}: no receipt came again`);
}

/** What had arrived of a backup when the node ended: it goes on with what is right, and the result is what was signed. */
async function uploads(trial: Trial): Promise<void> {
  const { folder, sample, random, recorder, what } = trial;
  const before = await vaultOfFR1(folder);
  const offer = await before.offer(FR2, sample.manifest);
  const range = 'missing' in offer ? offer.missing[0] : undefined;
  if (range === undefined) throw new Error('a new backup is not missing');
  const receiver = await before.receive(FR2, sample.manifest.digest, range);
  const { length } = sample.content;
  await receiver.write(sample.content.subarray(0, Math.min(length, leafSize + random.below(length))));
  await receiver.abort();
  const files = await Promise.all(
    Object.values(before.layout.upload(sample.manifest.digest)).map(async (path) => {
      const size = await stat(path).then(
        (stats) => stats.size,
        () => 0,
      );
      return size > 0 ? [path] : [];
    }),
  );
  await flipOneBit(random.pick(files.flat()), random);
  const vault = await vaultOfFR1(folder);
  recorder.acknowledged();
  await mend(vault, { ...trial, what });
}
