import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type Contender, contest, fastest, type Medians, median, of } from '../contest.js';
import { alike } from '../machine/memory.js';
import { peakMegabytes, timed } from '../machine/processes.js';
import { makeServers, nextPort, type Server } from '../machine/servers.js';
import { missingSsh, startSshd } from '../machine/sshd.js';
import { atLeast, atMost, type Bench, type Family, type Row, skipped } from '../row.js';
import { startWorker, type Worker } from '../workers/worker.js';

const ours = 'anemone';
const bare = 'bare TLS';

/** Everything that moves a file on this machine, ready to start. */
interface Hall {
  readonly owner: Server;
  readonly peer: Server;
  readonly sender: Worker;
  readonly client: Worker;
  readonly bareServer: Worker;
  readonly barePort: number;
  /** Backups of the owner, one for each round. */
  readonly names: readonly string[];
  /** The file with their bytes. */
  readonly source: string;
}

/** A backup from the vault of its owner, over loopback, to a peer that has verified it and made it durable. */
export const push: Family = {
  name: 'push',
  missing: () => null,
  async run(bench) {
    const hall = await openHall(bench);
    const { owner, peer, sender, client, bareServer, barePort, names, source } = hall;
    const target = join(bench.folder, 'arrived');
    const contenders: Contender[] = [
      {
        name: ours,
        async run(round) {
          const name = names[round] ?? '';
          const sample = await timed([sender.pid, peer.pid], () =>
            sender.do('push', { names: [name], to: [peer.name] }),
          );
          await rm(join(peer.data, owner.name, name));
          return sample;
        },
      },
      {
        name: bare,
        run: () =>
          timed([client.pid, bareServer.pid], () =>
            client.do('barePush', { host: '127.0.0.1', port: barePort, local: source, remote: target }),
          ),
      },
      ...(await copiers(bench, 'pushers', source, target)),
    ];
    const medians = await contest(alike(contenders, [target], bench.size), bench.rounds);
    return [
      ...ratios('push', medians, bench.size),
      memory('push: the node that sends', sender.pid),
      memory('push: the node that receives', peer.pid),
    ];
  },
};

/** A backup from a peer, with the real client, into a file that is verified and durable. */
export const fetch: Family = {
  name: 'fetch',
  missing: () => null,
  async run(bench) {
    const { owner, peer, sender, client, bareServer, barePort, names, source } = await openHall(bench);
    const [name = ''] = names;
    await sender.do('push', { names: [name], to: [peer.name] });
    const target = join(bench.folder, 'fetched');
    const contenders: Contender[] = [
      {
        name: ours,
        run: () => timed([peer.pid], () => owner.client('fetch', name, '--peer', peer.name, '-f', '-q', '-o', target)),
      },
      {
        name: bare,
        run: () =>
          timed([client.pid, bareServer.pid], () =>
            client.do('bareFetch', { host: '127.0.0.1', port: barePort, local: target, remote: source }),
          ),
      },
      ...(await copiers(bench, 'fetchers', source, target)),
    ];
    const medians = await contest(alike(contenders, [target], bench.size), bench.rounds);
    return [...ratios('fetch', medians, bench.size), memory('fetch: the node that sends', peer.pid)];
  },
};

/** Random leaves of a backup that a peer holds, and the hashes of all, against the root in its manifest. */
export const proof: Family = {
  name: 'proof',
  missing: () => null,
  async run(bench) {
    const { peer, sender, names } = await openHall(bench);
    const [name = ''] = names;
    await sender.do('push', { names: [name], to: [peer.name] });
    const question = { name, to: peer.name, samples: 460 };
    const first = await sender.do('proveHeld', question);
    const later = [];
    for (let nth = 0; nth < 10; nth += 1) later.push((await sender.do('proveHeld', question)).seconds);
    return [
      atMost('460 samples of a backup, received', 40, 'MB', first.bytes / 1e6, 'leaves and hashes'),
      atMost('460 samples of a backup, the first of a process', 1, 's', first.seconds, 'by the clock'),
      atMost('460 samples of a backup, later ones', 1, 's', median(later), `slowest ${Math.max(...later).toFixed(2)}`),
    ];
  },
};

async function openHall(bench: Bench): Promise<Hall> {
  const places = ['FR1', 'FR2'].map((name) => ({ name, listen: `127.0.0.1:${nextPort()}` }));
  const [owner, peer] = (await makeServers(bench, places)) as [Server, Server];
  const [sender, client, bareServer] = [startWorker(bench), startWorker(bench), startWorker(bench)];
  const source = join(bench.folder, 'source');
  const planting = { config: owner.config, source, size: bench.size, set: 'backup', count: bench.rounds };
  const names = await client.do('plantBackups', planting);
  await sender.do('openSender', { config: owner.config });
  await peer.start();
  const barePort = nextPort();
  await bareServer.do('bareServe', { host: '127.0.0.1', port: barePort });
  return { owner, peer, sender, client, bareServer, barePort, names, source };
}

async function copiers(
  bench: Bench,
  kind: 'pushers' | 'fetchers',
  from: string,
  to: string,
): Promise<readonly Contender[]> {
  if (missingSsh() !== null) return [];
  const sshd = await startSshd(bench, { host: '127.0.0.1', port: nextPort() });
  return sshd[kind](from, to);
}

function ratios(verb: string, medians: Medians, size: number): Row[] {
  const rate = (name: string): string => `${name} ${Math.round(size / 2 ** 20 / of(medians, name).seconds)}`;
  const detail = `MiB/s: ${[...medians.keys()].map(rate).join(', ')}`;
  const mine = of(medians, ours);
  const rows = [atLeast(`${verb}, against bare node:tls`, 0.8, 'x', of(medians, bare).seconds / mine.seconds, detail)];
  const missing = missingSsh();
  if (missing !== null) return [...rows, skipped(`${verb}, against sftp, scp and rsync`, missing)];
  const best = fastest(medians, 'sftp', 'scp');
  const sftp = fastest(medians, 'sftp');
  const cpu = (name: string): string => `${name} ${((of(medians, name).cpuSeconds * 2 ** 30) / size).toFixed(1)}`;
  const spent = `seconds of CPU per GiB: ${[ours, bare, sftp].map(cpu).join(', ')}`;
  return [
    atLeast(`${verb}, against ${best}`, 1.5, 'x', of(medians, best).seconds / mine.seconds, detail),
    ...rows,
    atMost(
      `${verb}, CPU of both sides against ${sftp}`,
      0.7,
      'x',
      mine.cpuSeconds / of(medians, sftp).cpuSeconds,
      spent,
    ),
  ];
}

function memory(work: string, pid: number): Row {
  const peak = peakMegabytes(pid);
  return atMost(`${work}, most memory`, 150, 'MB', peak, 'resident');
}
