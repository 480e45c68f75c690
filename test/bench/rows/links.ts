import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type Contender, contest, fastest, type Medians, of } from '../contest.js';
import { type LinkOptions, missingNamespaces, openLink } from '../machine/network.js';
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
  /** What to reach against sftp. */
  readonly goal: number;
}

const mib = 2 ** 20;

const longLinks: readonly LongLink[] = [
  { title: '50 ms, 200 Mbit/s', mbits: 200, roundTrip: 50, size: 192 * mib, goal: 1.15 },
  { title: '50 ms, 1 Gbit/s', mbits: 1000, roundTrip: 50, size: 512 * mib, goal: 1.6 },
  { title: '150 ms, 200 Mbit/s', mbits: 200, roundTrip: 150, size: 128 * mib, goal: 1.6 },
];

const lossyLinks: readonly LongLink[] = [
  ...[0.001, 0.005].flatMap((loss) =>
    ['cubic', 'bbr'].map((congestion) => ({
      title: `50 ms, 200 Mbit/s, ${loss * 100} % loss, ${congestion}`,
      mbits: 200,
      roundTrip: 50,
      loss,
      congestion,
      size: 24 * mib,
      goal: 3,
    })),
  ),
];

/** A push over links as they are between homes. */
export const links: Family = {
  name: 'links',
  missing: missingNamespaces,
  async run(bench) {
    const rows: Row[] = [];
    for (const [index, link] of longLinks.entries()) {
      const { medians, size } = await pushOver(bench, link, `long-${index}`);
      const detail = rates(medians, size);
      const mine = of(medians, ours).seconds;
      rows.push(
        atLeast(`push, ${link.title}, against bare node:tls`, 0.95, 'x', of(medians, bare).seconds / mine, detail),
      );
      rows.push(againstCopiers(`push, ${link.title}`, link.goal, medians, ['sftp'], detail));
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
      const { medians, size } = await pushOver(bench, link, `lossy-${index}`);
      const detail = rates(medians, size);
      rows.push(againstCopiers(`push, ${link.title}`, link.goal, medians, ['sftp', 'rsync'], detail));
    }
    return rows;
  },
};

function againstCopiers(
  work: string,
  goal: number,
  medians: Medians,
  programs: readonly string[],
  detail: string,
): Row {
  const missing = missingSsh();
  if (missing !== null) return skipped(`${work}, against ${programs.join(' and ')}`, missing);
  const best = fastest(medians, ...programs);
  return atLeast(`${work}, against ${best}`, goal, 'x', of(medians, best).seconds / of(medians, ours).seconds, detail);
}

function rates(medians: Medians, size: number): string {
  const rate = (name: string): string => `${name} ${(size / mib / of(medians, name).seconds).toPrecision(3)}`;
  return `MiB/s: ${[...medians.keys()].map(rate).join(', ')}`;
}

async function pushOver(bench: Bench, link: LongLink, label: string): Promise<{ medians: Medians; size: number }> {
  const rounds = Math.min(bench.rounds, 3);
  const size = Math.min(bench.size, link.size);
  const { near, far, host } = await openLink(bench, link);
  const [owner, peer] = (await makeServers(bench, [
    { name: `OWNER-${label}`, listen: `127.0.0.1:7443` },
    { name: `PEER-${label}`, listen: `${host}:7443`, netns: far },
  ])) as [Server, Server];
  const [sender, client, bareServer] = [startWorker(bench, near), startWorker(bench, near), startWorker(bench, far)];
  const source = join(bench.folder, `source-${label}`);
  const target = join(bench.folder, `arrived-${label}`);
  const names = await client.do('plantBackups', { config: owner.config, source, size, set: 'backup', count: rounds });
  await sender.do('openSender', { config: owner.config });
  await peer.start();
  await bareServer.do('bareServe', { host, port: 7444 });
  const contenders: Contender[] = [
    {
      name: ours,
      async run(round) {
        const name = names[round] ?? '';
        const sample = await timed([], () => sender.do('push', { names: [name], to: [peer.name] }));
        await rm(join(peer.data, owner.name, name));
        return sample;
      },
    },
    {
      name: bare,
      run: () => timed([], () => client.do('barePush', { host, port: 7444, local: source, remote: target })),
    },
  ];
  if (missingSsh() === null) {
    const sshd = await startSshd(bench, { host, port: 7445, serverNetns: far, clientNetns: near });
    contenders.push(...sshd.pushers(source, target).filter(({ name }) => /^(sftp|rsync) aes/.test(name)));
  }
  return { medians: await contest(contenders, rounds), size };
}
