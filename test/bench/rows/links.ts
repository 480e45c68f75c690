import { copyFile, rm, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { type Contender, contest, type Sample } from '../contest.js';
import { type LinkOptions, missingCongestion, missingNamespaces, openLink } from '../machine/network.js';
import { timed } from '../machine/processes.js';
import { makeServers, type Server } from '../machine/servers.js';
import { missingSsh, startSshd } from '../machine/sshd.js';
import { atLeast, type Bench, type Family, type Row, skipped } from '../row.js';
import { startWorker } from '../workers/worker.js';

const ours = 'anemone';
const bare = 'bare TLS';

interface LongLink extends LinkOptions {
  readonly title: string;
  /** Bytes that take this link about ten seconds. */
  readonly size: number;
  /** Bytes that sftp and rsync carry, where that is less: one connection would take minutes for them. */
  readonly copied?: number;
  /** What to reach against sftp. */
  readonly goal: number;
}

const mib = 2 ** 20;

const longLinks: readonly LongLink[] = [
  // Slow enough for a push to try whether several connections are faster, which here they are not.
  { title: '50 ms, 50 Mbit/s', mbits: 50, roundTrip: 50, size: 64 * mib, goal: 0.95 },
  { title: '50 ms, 200 Mbit/s', mbits: 200, roundTrip: 50, size: 192 * mib, goal: 1.15 },
  { title: '50 ms, 1 Gbit/s', mbits: 1000, roundTrip: 50, size: 512 * mib, goal: 1.6 },
  { title: '150 ms, 200 Mbit/s', mbits: 200, roundTrip: 150, size: 128 * mib, goal: 1.6 },
];

/**
 * What sftp and rsync carry is shorter, which is to their advantage: the rate of one connection sinks from loss to loss. What
 * cubic loses so much by, BBR hardly notices: there the goal is that of a link without loss.
 */
const lossyLinks: readonly LongLink[] = [
  { loss: 0.001, congestion: 'cubic', size: 96 * mib, copied: 32 * mib, goal: 3 },
  { loss: 0.005, congestion: 'cubic', size: 48 * mib, copied: 8 * mib, goal: 3 },
  { loss: 0.001, congestion: 'bbr', size: 96 * mib, goal: 1.15 },
  { loss: 0.005, congestion: 'bbr', size: 96 * mib, goal: 1.15 },
].map((link) => ({
  title: `50 ms, 200 Mbit/s, ${link.loss * 100} % loss, ${link.congestion}`,
  mbits: 200,
  roundTrip: 50,
  ...link,
}));

/** MiB a second, by contender. */
type Rates = ReadonlyMap<string, number>;

/** A push over links as they are between homes. */
export const links: Family = {
  name: 'links',
  missing: missingNamespaces,
  async run(bench) {
    const rows: Row[] = [];
    for (const [index, link] of longLinks.entries()) {
      const rates = await pushOver(bench, link, `long-${index}`);
      const ratio = rateOf(rates, ours) / rateOf(rates, bare);
      rows.push(atLeast(`push, ${link.title}, against bare node:tls`, 0.95, 'x', ratio, described(rates)));
      rows.push(againstCopiers(link, rates, ['sftp']));
    }
    return rows;
  },
};

/** A push over links that lose packets. */
export const loss: Family = {
  name: 'loss',
  missing: missingNamespaces,
  async run(bench) {
    const rows: Row[] = [];
    for (const [index, link] of lossyLinks.entries()) {
      const missing = missingCongestion(link.congestion ?? '');
      if (missing !== null) rows.push(skipped(`push, ${link.title}`, missing));
      else rows.push(againstCopiers(link, await pushOver(bench, link, `lossy-${index}`), ['sftp', 'rsync']));
    }
    return rows;
  },
};

function againstCopiers({ title, goal }: LongLink, rates: Rates, programs: readonly string[]): Row {
  const work = `push, ${title}, against `;
  const missing = missingSsh();
  if (missing !== null) return skipped(work + programs.join(' and '), missing);
  const [best = ''] = [...rates.keys()]
    .filter((name) => programs.some((program) => name.startsWith(program)))
    .sort((a, b) => rateOf(rates, b) - rateOf(rates, a));
  return atLeast(work + best, goal, 'x', rateOf(rates, ours) / rateOf(rates, best), described(rates));
}

function rateOf(rates: Rates, name: string): number {
  return rates.get(name) ?? Number.NaN;
}

function described(rates: Rates): string {
  return `MiB/s: ${[...rates].map(([name, rate]) => `${name} ${rate.toPrecision(3)}`).join(', ')}`;
}

async function pushOver(bench: Bench, link: LongLink, label: string): Promise<Rates> {
  const rounds = Math.min(bench.rounds, 3);
  const size = Math.min(bench.size, link.size);
  const copied = Math.min(size, link.copied ?? size);
  const { near, far, host } = await openLink(bench, link);
  const [owner, peer] = (await makeServers(bench, [
    { name: `OWNER-${label}`, listen: `127.0.0.1:7443` },
    { name: `PEER-${label}`, listen: `${host}:7443`, netns: far },
  ])) as [Server, Server];
  const [sender, client, bareServer] = [startWorker(bench, near), startWorker(bench, near), startWorker(bench, far)];
  const source = join(bench.folder, `source-${label}`);
  const short = `${source}-short`;
  const target = join(bench.folder, `arrived-${label}`);
  const names = await client.do('plantBackups', { config: owner.config, source, size, set: 'backup', count: rounds });
  // The backups are links to the source, so what is cut shorter is a copy.
  await copyFile(source, short);
  await truncate(short, copied);
  await sender.do('openSender', { config: owner.config });
  await peer.start();
  await bareServer.do('bareServe', { host, port: 7444 });
  const contenders: Contender[] = [
    {
      name: ours,
      async run(round) {
        const name = names[round] ?? '';
        // Over a lossy link each push is the first one to its peer, which has to find out that several connections are faster.
        if (link.loss !== undefined) await sender.do('openSender', { config: owner.config });
        const sample = await timed([], () => sender.do('push', { names: [name], to: [peer.name] }));
        await rm(join(peer.data, owner.name, name));
        return sample;
      },
    },
  ];
  if (link.loss === undefined) {
    const run = (): Promise<Sample> =>
      timed([], () => client.do('barePush', { host, port: 7444, local: short, remote: target }));
    contenders.push({ name: bare, run });
  }
  if (missingSsh() === null) {
    const sshd = await startSshd(bench, { host, port: 7445, serverNetns: far, clientNetns: near });
    contenders.push(...sshd.pushers(short, target).filter(({ name }) => /^(sftp|rsync) aes/.test(name)));
  }
  const rates = new Map<string, number>();
  for (const [name, { seconds }] of await contest(contenders, rounds)) {
    rates.set(name, (name === ours ? size : copied) / mib / seconds);
  }
  return rates;
}
