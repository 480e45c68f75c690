import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { contest, median, of } from '../contest.js';
import { alike } from '../machine/memory.js';
import { missingNamespaces, openStar } from '../machine/network.js';
import { timed } from '../machine/processes.js';
import { makeServers, nextPort, type Server } from '../machine/servers.js';
import { atLeast, atMost, type Bench, type Family } from '../row.js';
import { startWorker } from '../workers/worker.js';

const local = (name: string) => ({ name, listen: `127.0.0.1:${nextPort()}` });

/** An owner with a backup for each round, and peers whose nodes run. */
async function open(bench: Bench, peerCount: number, size: number, count: number) {
  const names = Array.from({ length: peerCount }, (_, index) => `P${index}`);
  const [owner, ...peers] = (await makeServers(bench, ['FR1', ...names].map(local))) as [Server, ...Server[]];
  const sender = startWorker(bench);
  const source = join(bench.folder, 'source');
  const backups = await sender.do('plantBackups', { config: owner.config, source, size, set: 'backup', count });
  await sender.do('openSender', { config: owner.config });
  await Promise.all(peers.map((peer) => peer.start()));
  return { owner, peers, sender, source, backups };
}

/** One backup to five peers at once. */
export const fanOut: Family = {
  name: 'fan-out',
  missing: () => null,
  async run(bench) {
    const size = Math.ceil(bench.size / 4);
    const { owner, peers, sender, source, backups } = await open(bench, 5, size, bench.rounds);
    const client = startWorker(bench);
    const bareServers = peers.map(() => ({ worker: startWorker(bench), port: nextPort() }));
    for (const { worker, port } of bareServers) await worker.do('bareServe', { host: '127.0.0.1', port });
    const pids = bareServers.map(({ worker }) => worker.pid);
    const to = peers.map(({ name }) => name);
    const targets = bareServers.map(({ port }) => join(bench.folder, `to-${port}`));
    const medians = await contest(
      alike(
        [
          {
            name: 'anemone',
            async run(round) {
              const name = backups[round] ?? '';
              const sample = await timed([sender.pid, ...peers.map(({ pid }) => pid)], () =>
                sender.do('push', { names: [name], to }),
              );
              for (const peer of peers) await rm(join(peer.data, owner.name, name));
              return sample;
            },
          },
          {
            name: 'bare TLS',
            run: () =>
              timed([client.pid, ...pids], () =>
                Promise.all(
                  bareServers.map(({ port }, nth) =>
                    client.do('barePush', { host: '127.0.0.1', port, local: source, remote: targets[nth] ?? '' }),
                  ),
                ),
              ),
          },
        ],
        targets,
        5 * size,
      ),
      bench.rounds,
    );
    const [mine, bare] = ['anemone', 'bare TLS'].map((name) => of(medians, name).seconds) as [number, number];
    const detail = `seconds for ${Math.round(size / 2 ** 20)} MiB to each: anemone ${mine.toFixed(2)}, bare TLS ${bare.toFixed(2)}`;
    return [atMost('one backup to 5 peers, against bare node:tls to the same', 1.3, 'x', mine / bare, detail)];
  },
};

/** What a person feels, and what the limit promises, while large backups are on their way. */
export const manners: Family = {
  name: 'manners',
  missing: () => null,
  async run(bench) {
    const size = Math.ceil(bench.size / 4);
    const { owner, peers, sender, backups } = await open(bench, 4, size, 2);
    const asking = startWorker(bench);
    await asking.do('openSender', { config: owner.config });
    const to = peers.map(({ name }) => name);
    const bulk = sender.do('push', { names: [backups[0] ?? ''], to });
    const took = await asking.do('smallCalls', { to: to[0] ?? '', count: 40 });
    await bulk;
    const slowest = Math.max(...took.slice(1));
    const calls = `milliseconds: median ${median(took).toFixed(0)}, slowest ${slowest.toFixed(0)}`;

    const rate = Math.min(32 * 2 ** 20, Math.ceil((size * peers.length) / 8));
    await sender.do('limitUploads', { bytesPerSecond: rate });
    const { seconds } = await timed([], () => sender.do('push', { names: [backups[1] ?? ''], to }));
    const reached = (size * peers.length) / seconds / rate;
    const told = `${(rate / 2 ** 20).toFixed(1)} MiB/s allowed to four peers together; off by ${(Math.abs(reached - 1) * 100).toFixed(1)} %`;
    return [
      atMost('a small call while four backups are on their way, median', 100, 'ms', median(took), calls),
      atMost('limits.upload, share of the limit', 1.05, 'x', reached, told),
      atLeast('limits.upload, share of the limit', 0.95, 'x', reached, told),
    ];
  },
};

/** A backup from three peers at once, each behind a slow line. */
export const slowPeers: Family = {
  name: 'slow-peers',
  missing: missingNamespaces,
  async run(bench) {
    const mbits = 20;
    const { hub, ends } = await openStar(bench, 3, mbits);
    const places = ends.map(({ netns, host }, index) => ({ name: `P${index}`, listen: `${host}:7443`, netns }));
    const [owner, ...peers] = (await makeServers(bench, [
      { name: 'FR1', listen: '127.0.0.1:7443', netns: hub },
      ...places,
    ])) as [Server, ...Server[]];
    const size = Math.min(bench.size, 64 * 2 ** 20);
    const sender = startWorker(bench, hub);
    const source = join(bench.folder, 'source');
    const [name = ''] = await sender.do('plantBackups', {
      config: owner.config,
      source,
      size,
      set: 'backup',
      count: 1,
    });
    await sender.do('openSender', { config: owner.config });
    await Promise.all(peers.map((peer) => peer.start()));
    await sender.do('push', { names: [name], to: peers.map((peer) => peer.name) });
    const fetch = (...from: string[]) => ({
      run: () => timed([], () => owner.client('fetch', name, ...from, '-f', '-q', '-o', join(bench.folder, 'fetched'))),
    });
    const medians = await contest(
      [
        { name: 'three', ...fetch() },
        { name: 'one', ...fetch('--peer', 'P0') },
      ],
      Math.min(bench.rounds, 3),
    );
    const [three, one] = ['three', 'one'].map((each) => of(medians, each).seconds) as [number, number];
    const detail = `seconds for ${Math.round(size / 2 ** 20)} MiB: three peers ${three.toFixed(1)}, one ${one.toFixed(1)}`;
    return [atLeast(`fetch from 3 peers at ${mbits} Mbit/s each, against one`, 2.7, 'x', one / three, detail)];
  },
};
