import type { ChildProcess } from 'node:child_process';
import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { anemoneNode, anemonePeer, freePorts, stopNode, tell } from './programs.js';
import { describeTree, plantTree } from './tree.js';

/**
 * The main job of this program, played with real processes on 127.0.0.1: three servers keep each other's backups, one of
 * them is lost, and comes back with nothing but its recovery key and one address. Ends with 0 only if all of it came back.
 */
const names = ['FR1', 'FR2', 'US1'] as const;
type Name = (typeof names)[number];

interface Server {
  readonly name: Name;
  /** Relative to the folder of the demo, as all paths that programs are given. */
  readonly config: string;
  readonly address: string;
  readonly identity: string;
  readonly recoveryKey: string;
}

let chapterNumber = 0;
function chapter(title: string): void {
  chapterNumber += 1;
  tell(`\n${chapterNumber}. ${title}`);
}

async function initServer(home: string, name: Name, port: number): Promise<Server> {
  const address = `127.0.0.1:${port}`;
  const config = join(name, 'config', 'config.yaml');
  const args = ['init', '--name', name, '--listen', address, '--dir', join(name, 'config'), '--json'];
  const made = JSON.parse(await anemonePeer(args, home)) as { identity: string; recovery_key: string };
  return { name, config, address, identity: made.identity, recoveryKey: made.recovery_key };
}

async function introduce(home: string, server: Server, peers: readonly Server[]): Promise<void> {
  for (const { name, address, identity } of peers) {
    if (name === server.name) continue;
    const args = ['peer', 'add', name, '--vpn-ip', address, '--identity', identity, '--config', server.config];
    await anemonePeer([...args, '--quiet'], home);
  }
}

async function play(home: string, nodes: Map<Name, ChildProcess>): Promise<void> {
  const start = async ({ name, config }: Server): Promise<void> => {
    nodes.set(name, await anemoneNode(config, home));
  };
  const stop = async ({ name }: Server): Promise<void> => {
    const node = nodes.get(name);
    if (node !== undefined) await stopNode(node);
  };

  chapter('Each gets an identity of its own, and is introduced to the others.');
  const ports = await freePorts(names.length);
  const servers = await Promise.all(names.map((name, index) => initServer(home, name, ports[index] ?? 0)));
  await Promise.all(servers.map((server) => introduce(home, server, servers)));
  await Promise.all(servers.map(start));
  const [lost, helper] = servers;
  if (lost === undefined || helper === undefined) throw new Error('there are no servers');

  chapter(`${lost.name} has a configuration worth keeping. It is sealed, kept, and pushed to every peer.`);
  const tree = join(home, lost.name, 'config');
  await plantTree(tree);
  await anemonePeer(['backup', '--config', lost.config], home);
  await anemonePeer(['list', '--config', lost.config], home);

  chapter(`${lost.name} burns down: its configuration, its identity and its own backups are gone.`);
  await stop(lost);
  const original = join(home, `what ${lost.name} was`);
  await cp(tree, original, { recursive: true, verbatimSymlinks: true, preserveTimestamps: true });
  tell(`$ rm -r ${lost.name}`);
  await rm(join(home, lost.name), { recursive: true });

  chapter('A bare machine has the recovery key on paper, and the address of one peer.');
  const peer = `${helper.address}#${helper.identity}`;
  const args = ['restore', 'latest', '--server', lost.name, '--peer', peer, '--target', lost.name, '--yes'];
  await anemonePeer([...args, '--key-stdin'], home, lost.recoveryKey);
  const [before, after] = await Promise.all([describeTree(original), describeTree(tree)]);
  const differences = [
    ...before.filter((line) => !after.includes(line)),
    ...after.filter((line) => !before.includes(line)),
  ];
  if (before.length === 0 || differences.length > 0) {
    throw new Error(`the restored tree is not what ${lost.name} was:\n${differences.join('\n')}`);
  }
  tell(`  ${before.length} files, folders and links are the same: bytes, modes, times and targets.`);

  chapter(`${lost.name} takes its place again. Its peers know it, and the next night goes on where the last one was.`);
  await start(lost);
  await anemonePeer(['backup', '--force', '--config', lost.config], home);
  await anemonePeer(['list', lost.name, '--config', lost.config], home);
}

async function main(): Promise<void> {
  const home = await mkdtemp(join(tmpdir(), 'anemone-demo-'));
  const nodes = new Map<Name, ChildProcess>();
  try {
    tell(`Three servers on this machine, in ${home}`);
    await play(home, nodes);
    tell('\nThe mesh works: what was lost is back.');
  } finally {
    await Promise.all([...nodes.values()].map(stopNode));
    await rm(home, { recursive: true, force: true });
  }
}

main().catch((thrown: unknown) => {
  process.stderr.write(`\nThe demo failed: ${thrown instanceof Error ? thrown.message : String(thrown)}\n`);
  process.exitCode = 1;
});
