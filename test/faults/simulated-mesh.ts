import { createHash } from 'node:crypto';
import { open, rm } from 'node:fs/promises';
import { Manifest } from '../../src/mesh/generated/anemone/backup/v1/backup.js';
import type { HeldEntry } from '../../src/node/vault/held-entry.js';
import type { Vault } from '../../src/node/vault/vault.js';
import { fastFolder } from '../node/vault/fixture.js';
import { lyingNetwork, type Network } from './mesh-network.js';
import { MeshNode } from './mesh-node.js';
import { type Random, seeded } from './random.js';
import type { Kind, Recorder } from './tally.js';
import { identityOf } from './world.js';

const names = ['FR1', 'FR2', 'US1', 'DE1', 'JP1'];
const steps = 14;

/**
 * Five servers with the real outbox, vault, retention and service code, on clocks, disks and a network that lie by a seed.
 * The promises are checked after every step; `--only mesh --seed N` runs one seed again, with the same choices.
 */
export const simulatedMesh: Kind = {
  name: 'mesh',
  title: 'simulated mesh of five',
  async run(recorder, scale) {
    const seeds = scale === 'long' ? 10_000 : 40;
    for (let seed = recorder.seed; seed < recorder.seed + seeds; seed += 1) {
      await oneMesh(seed, recorder);
      recorder.fault();
    }
    recorder.note = `seeds from ${recorder.seed}, ${steps} steps each`;
  },
};

interface Mesh {
  readonly seed: number;
  readonly random: Random;
  readonly network: Network;
  readonly recorder: Recorder;
  /** What a holder may lack although it gave a receipt: retention removed it, or the disk was made to lie. */
  readonly excused: Set<string>;
  /** Digest of every backup that anybody ever listed: what is held never changes. */
  readonly known: Map<string, string>;
}

async function oneMesh(seed: number, recorder: Recorder): Promise<void> {
  const root = await fastFolder();
  const random = seeded(seed);
  const network = lyingNetwork(seed);
  for (const name of names) network.nodes.push(new MeshNode(name, root, network, random));
  const mesh: Mesh = { seed, random, network, recorder, excused: new Set(), known: new Map() };
  try {
    for (const node of network.nodes) await node.start();
    for (let step = 0; step < steps; step += 1) {
      const what = await takeStep(mesh);
      await check(mesh, `seed ${seed}, step ${step} (${what})`);
    }
    await heal(mesh);
  } catch (thrown) {
    recorder.problem(`seed ${seed}: ${thrown instanceof Error ? thrown.stack : String(thrown)}`);
  } finally {
    for (const node of network.nodes) await node.remove();
    await rm(root, { recursive: true, force: true });
  }
}

/** One thing that happens in the mesh. What fails, fails as it would; only the promises count. */
async function takeStep(mesh: Mesh): Promise<string> {
  const { random, network, excused } = mesh;
  const node = random.pick(network.nodes);
  network.trouble = random.pick([0, 0.1, 0.4]);
  const action = random.pick([
    'backup',
    'backup and deliver',
    'backup and deliver',
    'deliver',
    'disk fails',
    'crash',
    'sweep',
    'time',
    'clock jumps',
    'bit flips',
  ] as const);
  const quietly = (work: Promise<unknown>): Promise<unknown> => work.catch(() => undefined);
  if (node.vault === null) await quietly(node.start());
  switch (action) {
    case 'backup':
      await quietly(node.makeBackup());
      break;
    case 'backup and deliver':
      await quietly(node.makeBackup());
      await quietly(node.deliver());
      break;
    case 'deliver':
      await quietly(node.deliver());
      break;
    case 'disk fails': {
      const victim = random.pick(network.nodes);
      const bad = new Set(Array.from({ length: 5 }, () => random.below(60)));
      victim.failDisk(random.pick(['EIO', 'ENOSPC', 'EMFILE', 'short write']), (call) => bad.has(call));
      await quietly(node.makeBackup());
      await quietly(node.deliver());
      break;
    }
    case 'crash': {
      const victim = random.pick(network.nodes);
      const after = random.below(80);
      victim.failDisk('EIO', (call) => call >= after);
      await quietly(node.makeBackup());
      await quietly(node.deliver());
      await quietly(victim.crash());
      if (random.chance(0.7)) await quietly(victim.start());
      break;
    }
    case 'sweep':
      for (const name of await node.sweep()) excused.add(`${node.name} ${name}`);
      break;
    case 'time':
      await network.advance(random.below(3 * 86_400_000));
      break;
    case 'clock jumps':
      node.clock.jump(Math.round((random.next() - 0.5) * 40 * 86_400_000));
      break;
    case 'bit flips':
      await flip(node, mesh);
      break;
  }
  return `${action} at ${node.name}`;
}

/** Turns one bit over in a backup, and lets the node find it. */
async function flip(node: MeshNode, { random, excused, recorder, seed }: Mesh): Promise<void> {
  const vault = node.vault;
  const held = vault?.list() ?? [];
  if (vault === null || held.length === 0) return;
  const entry = random.pick(held);
  const path = vault.layout.backup(entry.name).data;
  const file = await open(path, 'r+');
  try {
    const at = random.below(entry.size);
    const byte = Buffer.alloc(1);
    await file.read(byte, 0, 1, at);
    byte[0] = (byte[0] ?? 0) ^ (1 << random.below(8));
    await file.write(byte, 0, 1, at);
  } finally {
    await file.close();
  }
  excused.add(`${node.name} ${entry.name}`);
  const found = await vault.examine(entry.name).then(
    () => false,
    () => true,
  );
  if (!found || vault.find(entry.name) !== null) recorder.damaged(`seed ${seed}: ${entry.name} at ${node.name}`);
}

/** The promises: what a receipt says is there, what is listed is whole, and what is held never changes. */
async function check(mesh: Mesh, where: string): Promise<void> {
  const { network, recorder, known } = mesh;
  for (const node of network.nodes) {
    const vault = node.vault;
    if (vault === null) continue;
    // What the step broke is mended: the disk only lies while something happens.
    node.failDisk('EIO', () => false);
    for (const entry of vault.list()) {
      if (!(await isWhole(vault, entry))) recorder.damaged(`${where}: ${node.name} lists ${entry.name}`);
      const digest = entry.digest.toString('hex');
      const before = known.get(entry.name) ?? digest;
      if (before !== digest) recorder.problem(`${where}: ${entry.name} changed at ${node.name}`);
      known.set(entry.name, digest);
    }
    await checkReceipts(node, vault, mesh, where);
  }
}

async function checkReceipts(owner: MeshNode, vault: Vault, mesh: Mesh, where: string): Promise<void> {
  const own = vault.list({ owner: owner.name });
  for (const holder of mesh.network.nodes) {
    if (holder === owner || holder.vault === null) continue;
    const peer = { name: holder.name, identity: identityOf(holder.name) };
    for (const name of await owner.receipts.held(peer, own)) {
      if (holder.vault.find(name) !== null || mesh.excused.has(`${holder.name} ${name}`)) continue;
      mesh.recorder.lost(`${where}: ${holder.name} gave a receipt to ${owner.name} and lacks ${name}`);
      mesh.excused.add(`${holder.name} ${name}`);
    }
  }
}

async function isWhole(vault: Vault, entry: HeldEntry): Promise<boolean> {
  const { manifest } = await vault.held(entry.name);
  const digest = createHash('sha256');
  for await (const chunk of vault.read(entry.name, 0, entry.size)) digest.update(chunk);
  return digest.digest().equals(Manifest.decode(manifest?.manifest ?? new Uint8Array()).sha256);
}

/** All trouble is over: everybody starts again, everything owed arrives, and nothing is left over. */
async function heal(mesh: Mesh): Promise<void> {
  const { network, recorder, seed } = mesh;
  network.trouble = 0;
  for (const node of network.nodes) {
    if (node.vault !== null) await node.crash();
    await node.start();
  }
  for (const node of network.nodes) {
    for (const owed of await node.deliver()) recorder.problem(`seed ${seed}: ${node.name} still owes ${owed}`);
  }
  await check(mesh, `seed ${seed}, healed`);
  for (const node of network.nodes) {
    recorder.acknowledged((await Promise.all(network.nodes.map((peer) => receiptsFor(node, peer)))).flat().length);
    await node.crash();
    await node.start();
    for (const file of await node.leftovers()) recorder.leftover(`seed ${seed}: ${node.name} ${file}`);
  }
}

async function receiptsFor(owner: MeshNode, holder: MeshNode): Promise<string[]> {
  const own = owner.vault?.list({ owner: owner.name }) ?? [];
  return [...(await owner.receipts.held({ name: holder.name, identity: identityOf(holder.name) }, own))];
}
