import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Bench } from '../row.js';
import { inside, missingPrograms, run } from './processes.js';

/** Two network namespaces with a link of its own properties between them. */
export interface Link {
  /** Namespace of the one that calls. */
  readonly near: string;
  /** Namespace of the one that is called. */
  readonly far: string;
  /** Address of the one that is called. */
  readonly host: string;
}

export interface LinkOptions {
  readonly mbits: number;
  /** Milliseconds there and back; 0 for a short link. */
  readonly roundTrip?: number;
  /** Share of the packets that is lost, each way. */
  readonly loss?: number;
  /** Congestion control of both ends. */
  readonly congestion?: string;
}

/** Why there can be no namespaces here; null when there can. */
export function missingNamespaces(): string | null {
  if (process.getuid?.() !== 0) return 'needs root, for network namespaces';
  const programs = missingPrograms(['ip', 'iproute2'], ['tc', 'iproute2'], ['ethtool', 'ethtool']);
  if (programs !== null) return programs;
  const probe = `anemone-probe-${process.pid}`;
  const made = spawnSync('ip', ['netns', 'add', probe]).status === 0;
  spawnSync('ip', ['netns', 'del', probe]);
  return made ? null : 'this kernel gives no network namespaces';
}

/** Why TCP cannot be told to go by this congestion control here; null when it can. */
export function missingCongestion(name: string): string | null {
  spawnSync('modprobe', ['-q', `tcp_${name}`]);
  const known = readFileSync('/proc/sys/net/ipv4/tcp_available_congestion_control', 'utf8');
  return known.trim().split(' ').includes(name) ? null : `this kernel has no ${name}`;
}

let links = 0;

/**
 * A link through a relay in a third namespace: the packets of a VXLAN tunnel are delayed and lost there, and shaped by
 * `tc tbf` where they enter it. Taken down with the family.
 */
export async function openLink(bench: Bench, options: LinkOptions): Promise<Link> {
  const { mbits, roundTrip = 0, loss = 0, congestion = 'cubic' } = options;
  links += 1;
  const near = await namespace(bench, 'near');
  const far = await namespace(bench, 'far');
  const middle = await namespace(bench, 'middle');
  // Node takes about 25,000 packets a second: a fast link without loss gets larger ones.
  const mtu = mbits > 400 && loss === 0 ? 9000 : 1500;
  for (const [end, netns] of [near, far].entries()) {
    const net = `10.201.${end}`;
    await ip(
      'link',
      'add',
      'under',
      'netns',
      netns,
      'mtu',
      '9100',
      'type',
      'veth',
      'peer',
      'name',
      `side${end}`,
      'netns',
      middle,
    );
    await ip('-n', middle, 'link', 'set', `side${end}`, 'mtu', '9100', 'up');
    await ip('-n', middle, 'addr', 'add', `${net}.2/24`, 'dev', `side${end}`);
    await ip('-n', netns, 'link', 'set', 'under', 'up');
    await ip('-n', netns, 'addr', 'add', `${net}.1/24`, 'dev', 'under');
    const tunnel = ['type', 'vxlan', 'id', '7', 'local', `${net}.1`, 'remote', `${net}.2`, 'dstport', '4789'];
    await ip('-n', netns, 'link', 'add', 'long', 'mtu', `${mtu}`, ...tunnel);
    await ip('-n', netns, 'addr', 'add', `10.200.0.${end + 1}/24`, 'dev', 'long');
    await ip('-n', netns, 'link', 'set', 'long', 'up');
    // The relay carries bytes as they are: no checksum and no segment may be left for hardware to finish.
    await run(['ethtool', '-K', 'long', 'tx', 'off', 'tso', 'off', 'gso', 'off'], { netns });
    await shape(netns, 'long', mbits);
    await ip('-n', netns, 'route', 'replace', '10.200.0.0/24', 'dev', 'long', 'congctl', congestion);
  }
  await startRelay(bench, middle, roundTrip / 2, loss);
  return { near, far, host: '10.200.0.2' };
}

/** Caps what a namespace sends. */
async function startRelay(bench: Bench, netns: string, oneWay: number, loss: number): Promise<void> {
  const addresses = ['10.201.0.1', '10.201.1.1', '10.201.0.2', '10.201.1.2'];
  const program = join(import.meta.dirname, 'delay-relay.js');
  const [command, args] = inside(netns, [process.execPath, program, ...addresses, `${oneWay}`, `${loss}`]);
  const relay = spawn(command, args, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  bench.defer(async () => {
    if (!relay.connected) return;
    relay.disconnect();
    await once(relay, 'exit');
  });
  await once(relay, 'message');
}

/** A namespace that calls, and others that it reaches, each at its own address and with its own limit on what it sends. */
export interface Star {
  readonly hub: string;
  readonly ends: readonly { readonly netns: string; readonly host: string }[];
}

/** Short lines, with a limit in Mbit/s on what each end sends. */
export async function openStar(bench: Bench, count: number, mbits: number): Promise<Star> {
  links += 1;
  const hub = await namespace(bench, 'hub');
  const ends = [];
  for (let end = 0; end < count; end += 1) {
    const netns = await namespace(bench, `end${end}`);
    const host = `10.202.${end}.2`;
    await ip('link', 'add', `to${end}`, 'netns', hub, 'type', 'veth', 'peer', 'name', 'line', 'netns', netns);
    await ip('-n', hub, 'addr', 'add', `10.202.${end}.1/24`, 'dev', `to${end}`);
    await ip('-n', hub, 'link', 'set', `to${end}`, 'up');
    await ip('-n', netns, 'addr', 'add', `${host}/24`, 'dev', 'line');
    await ip('-n', netns, 'link', 'set', 'line', 'up');
    await shape(netns, 'line', mbits);
    ends.push({ netns, host });
  }
  return { hub, ends };
}

/** A network namespace, with its loopback up; gone with the family. */
async function namespace(bench: Bench, role: string): Promise<string> {
  const netns = `anemone-${role}-${process.pid}-${links}`;
  await ip('netns', 'add', netns);
  bench.defer(() => ip('netns', 'del', netns));
  await ip('-n', netns, 'link', 'set', 'lo', 'up');
  return netns;
}

function shape(netns: string, device: string, mbits: number): Promise<string> {
  const bucket = ['rate', `${mbits}mbit`, 'burst', '64kb', 'latency', '100ms'];
  return run(['tc', '-n', netns, 'qdisc', 'add', 'dev', device, 'root', 'tbf', ...bucket]);
}

function ip(...args: string[]): Promise<string> {
  return run(['ip', ...args]);
}
