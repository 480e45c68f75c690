import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { initServer } from '../../src/client/commands/init.js';
import { addPeer } from '../../src/client/commands/peer.js';
import { loadConfig } from '../../src/mesh/config/load.js';
import type { RunReport } from '../../src/mesh/generated/anemone/node/v1/node.js';
import { type Identity, parseIdentity } from '../../src/mesh/identity/identity.js';
import { connectToOwnNode, type OwnNode } from '../../src/mesh/peers/own-node.js';
import { type Clock, systemClock } from '../../src/mesh/terms/clock.js';
import { type RunningNode, startNode } from '../../src/node/compose.js';
import { fingerprint } from '../../src/node/follow-file.js';
import { commandTrial } from './command.js';
import { type Events, watchEvents } from './events.js';
import { FakeClock } from './fake-clock.js';
import { type NodeProcess, startNodeProcess } from './node-process.js';
import { anemonePeer, type ProgramEnd, type ProgramOptions } from './program.js';
import { openRelay, type Relay } from './relay.js';

/** One machine of a mesh: a folder with `config/`, `config-backups/` and `logs/`, a node that runs or not, and a client. */
export interface MeshServer {
  readonly name: string;
  readonly folder: string;
  /** Path of config.yaml. */
  readonly config: string;
  /** Path of the vault. */
  readonly data: string;
  /** Where its node listens, such as `127.0.0.1:12345`. */
  readonly address: string;
  readonly identity: Identity;
  /** As `init` showed it. */
  readonly recoveryKey: string;
  /** What its node said since it was started last. */
  readonly events: Events;
  /** Process id of its node. */
  readonly pid: number;
  /** Runs `anemone-peer` on this machine, as a process. */
  peer(args: readonly string[], options?: Partial<ProgramOptions>): Promise<ProgramEnd>;
  /** Asks the node as its client does, without a process for every question. */
  ask<T>(question: (node: OwnNode) => Promise<T>): Promise<T>;
  /** Has the node make a backup, of all sets unless one is named. */
  backUp(request: { readonly set?: string; readonly force: boolean }): Promise<RunReport>;
  /** Starts the node as a process, and resolves when it serves. */
  start(options?: { readonly args?: readonly string[] }): Promise<void>;
  /** Starts the node inside the test, on the machine's clock or another one. */
  startInside(clock?: Clock): Promise<void>;
  /** Ends the node as systemd does. @throws when it does not end with exit code 0 */
  stop(): Promise<void>;
  /** Ends the node as a power cut does. */
  kill(): Promise<void>;
  /** Writes a peer into its configuration, as `peer add` does. */
  addPeer(name: string, address: string, identity: string, options?: { readonly quota?: string }): Promise<void>;
  /** Replaces the sets of its configuration: lines of YAML below `sets:`, indented from zero. */
  sets(yaml: string): Promise<void>;
  /** Changes the configuration file. @throws when nothing of it changes */
  edit(change: (text: string) => string): Promise<void>;
  /** File names of the backups of an owner that lie in its vault, oldest first; `local` for its own; without the kits that travel along. */
  holds(owner: string): Promise<string[]>;
}

export interface Mesh {
  /** A folder for this test; removed with the mesh. */
  readonly root: string;
  readonly servers: readonly MeshServer[];
  /** When its servers were set up, milliseconds since 1970: later than the nights that the stories tell of, so that none was missed. */
  readonly setUpAt: number;
  server(name: string): MeshServer;
  /** Makes a server, introduced to nobody. */
  add(name: string): Promise<MeshServer>;
  /** Writes each into the other's configuration, with `peer add`. */
  introduce(a: MeshServer, b: MeshServer, options?: Introduction): Promise<void>;
  /** Stops every node, fails when anything remains that should not, and removes the folder. */
  close(): Promise<void>;
}

export interface Introduction {
  /** What each may store with the other. */
  readonly quota?: string;
  /** Where the first reaches the second, when it is not where that one listens. */
  readonly through?: string;
}

const setUpAt = Date.parse('2028-01-01T08:00:00Z');

/** Makes a mesh in which everyone is everyone's peer. No node runs yet. Backups are made on request only. */
export async function makeMesh(...names: readonly string[]): Promise<Mesh> {
  const root = await mkdtemp(join(tmpdir(), 'anemone-mesh-'));
  const before = openHandles();
  const servers: MeshServer[] = [];
  const mesh: Mesh = {
    root,
    servers,
    setUpAt,
    server(name) {
      const found = servers.find((server) => server.name === name);
      if (found === undefined) throw new Error(`the mesh has no ${name}`);
      return found;
    },
    async add(name) {
      const server = await makeServer(name, join(root, name));
      servers.push(server);
      return server;
    },
    async introduce(a, b, options = {}) {
      const { through = b.address, ...both } = options;
      await a.addPeer(b.name, through, b.identity, both);
      await b.addPeer(a.name, a.address, a.identity, both);
    },
    async close() {
      try {
        await Promise.all(servers.map((server) => server.stop()));
        await nothingRemains(root, before);
      } finally {
        await rm(root, { recursive: true, force: true });
      }
    },
  };
  for (const name of names) await mesh.add(name);
  for (const [index, server] of servers.entries()) {
    for (const other of servers.slice(index + 1)) await mesh.introduce(server, other);
  }
  return mesh;
}

/**
 * The report at the end of what `backup --json` printed, without the kit: that travels with every run, and the stories are
 * about the sets of the configuration.
 */
// biome-ignore lint/suspicious/noExplicitAny: what a program printed has no type
export function reportOf(stdout: string): any {
  const report = JSON.parse(stdout.trim().split('\n').at(-1) ?? '');
  return {
    ...report,
    sets: report.sets.filter(({ set }: { set: string }) => set !== kitSet),
    removed: report.removed.filter((name: string) => !isKit(name)),
    peers: report.peers.map((peer: { delivered: string[] }) => ({
      ...peer,
      delivered: peer.delivered.filter((name) => !isKit(name)),
    })),
  };
}

const kitSet = 'kit';
const isKit = (name: string): boolean => name.startsWith(`anemone-${kitSet}-`);

/** A mesh for one test, and its servers in the order of their names: it is closed, and checked for what remains, at the end. */
export async function withMesh<const Names extends readonly string[]>(
  names: Names,
  body: (servers: { readonly [Each in keyof Names]: MeshServer }, mesh: Mesh) => Promise<void>,
): Promise<void> {
  const mesh = await makeMesh(...names);
  let failed = true;
  try {
    await body(mesh.servers as { readonly [Each in keyof Names]: MeshServer }, mesh);
    failed = false;
  } finally {
    // What the test found wrong is worth more than what its sudden end left behind.
    await mesh.close().catch((error) => {
      if (!failed) throw error;
    });
  }
}

/** FR1 and FR2, where FR1 reaches FR2 over a relay. */
export function withRelay(body: (fr1: MeshServer, fr2: MeshServer, relay: Relay) => Promise<void>): Promise<void> {
  return withMesh([], async (_, mesh) => {
    const [fr1, fr2] = [await mesh.add('FR1'), await mesh.add('FR2')];
    const relay = await openRelay(fr2.address);
    try {
      await mesh.introduce(fr1, fr2, { through: relay.address });
      await body(fr1, fr2, relay);
    } finally {
      await relay.close();
    }
  });
}

async function makeServer(name: string, folder: string): Promise<MeshServer> {
  await mkdir(folder, { recursive: true });
  const address = `127.0.0.1:${await freePort()}`;
  const trial = commandTrial({ cwd: folder, json: true, clock: new FakeClock(setUpAt) });
  await initServer(trial.context, { name, listen: address, dir: './config' });
  const made = JSON.parse(trial.said.stdout);
  const config: string = made.config;
  const events = watchEvents();
  let running: { readonly pid: number; stop(): Promise<void>; kill(): Promise<void> } | null = null;
  const server: MeshServer = {
    name,
    folder,
    config,
    data: made.data,
    address,
    identity: parseIdentity(made.identity),
    recoveryKey: made.recovery_key,
    events,
    get pid() {
      return running?.pid ?? 0;
    },
    peer: (args, options = {}) => anemonePeer(args, { cwd: folder, ...options }),
    async ask(question) {
      const node = await connectToOwnNode(join(made.data, '.state/node.sock'), systemClock);
      try {
        return await question(node);
      } finally {
        node.close();
      }
    },
    backUp: ({ set = '', force }) =>
      server.ask(async (node) => {
        for await (const { event } of node.runBackup({ set, force })) {
          if (event?.$case === 'report') return event.value;
        }
        throw new Error('the run ended without a report');
      }),
    async start(options = {}) {
      events.clear();
      running = processOf(await startNodeProcess(config, events, options), name);
    },
    async startInside(clock = systemClock) {
      events.clear();
      const counted = countTimers(clock);
      const known = await fingerprint(config);
      const node = await startNode((await loadConfig(config)).config, known, '0.0.0', events, counted);
      running = insideOf(node, counted, name);
    },
    async stop() {
      const ending = running;
      running = null;
      await ending?.stop();
    },
    async kill() {
      const ending = running;
      running = null;
      await ending?.kill();
    },
    async addPeer(peer, at, identity, options = {}) {
      const { context } = commandTrial({ cwd: folder });
      await addPeer(context, peer, { vpnIp: at, identity, ...options });
    },
    sets: (yaml) =>
      server.edit((text) => {
        const lines = yaml
          .trim()
          .split('\n')
          .map((line) => `    ${line}\n`);
        return text.replace(/^ {2}sets:\n[\s\S]*?(?=^ {2}encryption:)/m, `  sets:\n${lines.join('')}`);
      }),
    async edit(change) {
      const before = await readFile(config, 'utf8');
      const after = change(before);
      if (after === before) throw new Error(`the change leaves ${config} as it is`);
      await writeFile(config, after);
    },
    async holds(owner) {
      const files = await readdir(join(made.data, owner)).catch(() => []);
      return files.filter((file) => file.endsWith('.enc') && !file.startsWith('anemone-kit-')).sort();
    },
  };
  // A test that runs at two in the morning must not meet the nightly run.
  await server.edit((text) => text.replace(/schedule: "[^"]*".*/, 'schedule: never'));
  return server;
}

function processOf(node: NodeProcess, name: string) {
  return {
    pid: node.pid,
    async stop() {
      const code = await node.end('SIGTERM');
      if (code !== 0) throw new Error(`the node of ${name} ended with ${code} after SIGTERM: ${node.wrote()}`);
    },
    kill: async () => void (await node.end('SIGKILL')),
  };
}

function insideOf(node: RunningNode, clock: CountedClock, name: string) {
  const stop = async (): Promise<void> => {
    await node.stop();
    if (clock.pending() > 0) throw new Error(`the node of ${name} left ${clock.pending()} timers`);
  };
  return { pid: process.pid, stop, kill: stop };
}

interface CountedClock extends Clock {
  pending(): number;
}

/** A clock that knows how many of the timers set on it wait. */
function countTimers(clock: Clock): CountedClock {
  const waiting = new Set<object>();
  return {
    now: () => clock.now(),
    monotonic: () => clock.monotonic(),
    sleep: (ms, signal) => clock.sleep(ms, signal),
    after(ms, callback) {
      const timer = {};
      waiting.add(timer);
      const cancel = clock.after(ms, () => {
        waiting.delete(timer);
        callback();
      });
      return () => {
        waiting.delete(timer);
        cancel();
      };
    },
    pending: () => waiting.size,
  };
}

const temporary = /\.tmp$|\.anemone-restore/;

/** @throws when a temporary file, a socket, a listener or a child process is left */
async function nothingRemains(root: string, before: Map<string, number>): Promise<void> {
  const files = (await readdir(root, { recursive: true })).filter((path) => temporary.test(path));
  if (files.length > 0) throw new Error(`temporary files remain: ${files.join(', ')}`);
  const deadline = performance.now() + 3_000;
  for (;;) {
    const more = [...openHandles()].filter(([kind, count]) => count > (before.get(kind) ?? 0));
    if (more.length === 0) return;
    // A closed socket is gone only after its last events.
    if (performance.now() > deadline) throw new Error(`handles remain: ${more.map(([kind]) => kind).join(', ')}`);
    await setImmediate();
  }
}

/** What of this process is open to the outside, and how often: sockets, listeners, pipes and child processes. */
function openHandles(): Map<string, number> {
  const counts = new Map<string, number>();
  for (const kind of process.getActiveResourcesInfo()) {
    if (/^(TCP|Pipe|TLS|Process)/.test(kind)) counts.set(kind, (counts.get(kind) ?? 0) + 1);
  }
  return counts;
}

/** A port of 127.0.0.1 that was free just now, below those that the system gives to outgoing connections. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = 10_000 + (randomBytes(2).readUInt16BE() % 9_000);
    const probe = createServer();
    const free = await new Promise<boolean>((resolve) => {
      probe.once('error', () => resolve(false));
      probe.listen(port, '127.0.0.1', () => resolve(true));
    });
    if (!free) continue;
    probe.close();
    await once(probe, 'close');
    return port;
  }
}
