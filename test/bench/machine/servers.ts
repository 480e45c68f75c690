import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { stringify } from 'yaml';
import type { Bench } from '../row.js';
import { clientProgram, inside, nodeProgram, run, startOf } from './processes.js';

/** Where a server of the mesh stands. */
export interface Place {
  readonly name: string;
  /** Such as `127.0.0.1:17443`. */
  readonly listen: string;
  readonly netns?: string | undefined;
}

/** One server with its real programs. */
export interface Server extends Place {
  readonly identity: string;
  /** Path of config.yaml. */
  readonly config: string;
  /** Path of the vault. */
  readonly data: string;
  /** Of its node; 0 while none runs. */
  readonly pid: number;
  /** Runs `anemone-peer` there. */
  client(...args: string[]): Promise<string>;
  /** Starts its node; resolves with the seconds until it served. */
  start(): Promise<number>;
  stop(): Promise<void>;
}

// With the 5,000 that a family may add, below those from which Linux takes ports for callers.
let lastPort = 20_000 + (process.pid % 5000);

/** A port of 127.0.0.1 for this run. */
export function nextPort(): number {
  lastPort += 1;
  return lastPort;
}

/** Servers with an identity each; the first one is everyone's peer. Their nodes are stopped with the family. */
export async function makeServers(bench: Bench, places: readonly Place[]): Promise<readonly Server[]> {
  const servers = await Promise.all(places.map((place) => makeServer(bench, place)));
  const [first, ...others] = servers;
  if (first === undefined) return servers;
  await writePeers(first, others);
  await Promise.all(others.map((other) => writePeers(other, [first])));
  return servers;
}

/** Writes the peers into the configuration of a server that has none yet. */
export async function writePeers(
  server: Pick<Server, 'config'>,
  peers: readonly Pick<Server, 'name' | 'listen' | 'identity'>[],
): Promise<void> {
  const list = peers.map(({ name, listen, identity }) => ({ name, vpn_ip: listen, identity }));
  const text = await readFile(server.config, 'utf8');
  await writeFile(server.config, text.replace('peers: []', stringify({ peers: list }).trimEnd()));
}

async function makeServer(bench: Bench, place: Place): Promise<Server> {
  const folder = join(bench.folder, place.name);
  await mkdir(folder);
  const config = join(folder, 'config/config.yaml');
  const client = (...args: string[]): Promise<string> =>
    run([...startOf(clientProgram, bench.nodeFlags), clientProgram, ...args, '--config', config], {
      cwd: folder,
      netns: place.netns,
    });
  const init = ['init', '--name', place.name, '--listen', place.listen, '--json'];
  const { identity } = JSON.parse(await run([process.execPath, clientProgram, ...init], { cwd: folder }));
  let node: ChildProcess | null = null;
  const server: Server = {
    ...place,
    identity,
    config,
    data: join(folder, 'config-backups'),
    get pid() {
      return node?.pid ?? 0;
    },
    client,
    async start() {
      const before = performance.now();
      const [program, args] = inside(place.netns, [
        ...startOf(nodeProgram, bench.nodeFlags),
        nodeProgram,
        '--config',
        config,
      ]);
      node = spawn(program, args, { stdio: ['ignore', 'ignore', 'pipe'] });
      await serving(node);
      return (performance.now() - before) / 1000;
    },
    async stop() {
      const ending = node;
      node = null;
      if (ending === null || ending.exitCode !== null) return;
      ending.kill('SIGTERM');
      await once(ending, 'close');
    },
  };
  bench.defer(() => server.stop());
  return server;
}

/** Resolves when the node says that it serves. */
function serving(node: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    const said: string[] = [];
    if (node.stderr === null) throw new Error('a node whose log cannot be read');
    createInterface({ input: node.stderr }).on('line', (line) => {
      if (line.includes('"node started"')) resolve();
      else if (said.length < 20) said.push(line);
    });
    node.once('error', reject);
    node.once('close', () => reject(new Error(`the node ended instead of serving:\n${said.join('\n')}`)));
  });
}
