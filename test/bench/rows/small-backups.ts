import { join } from 'node:path';
import { type Contender, contest, of } from '../contest.js';
import { makeServers, nextPort, type Server } from '../machine/servers.js';
import { atLeast, atMost, type Bench, type Family } from '../row.js';
import { startWorker, type Worker } from '../workers/worker.js';

const size = 100_000;

/** A sender and a node; the backups of each round are a set of their own. */
async function openPair(bench: Bench, label: string) {
  const places = ['FR1', 'FR2'].map((name) => ({ name: `${name}-${label}`, listen: `127.0.0.1:${nextPort()}` }));
  const [owner, peer] = (await makeServers(bench, places)) as [Server, Server];
  return { owner, peer, sender: startWorker(bench) };
}

async function plantRounds(owner: Server, sender: Worker, bench: Bench, count: number): Promise<string[][]> {
  const rounds: string[][] = [];
  for (let round = 0; round < bench.rounds; round += 1) {
    const set = `round${round}`;
    const source = join(bench.folder, `${owner.name}-${set}`);
    rounds.push(await sender.do('plantBackups', { config: owner.config, source, size, set, count }));
  }
  return rounds;
}

function pushing(name: string, sender: Worker, peer: Server, rounds: readonly string[][]): Contender {
  return {
    name,
    async run(round) {
      const before = performance.now();
      await sender.do('push', { names: rounds[round] ?? [], to: [peer.name] });
      return { seconds: (performance.now() - before) / 1000, cpuSeconds: 0 };
    },
  };
}

/** Many small backups to one peer, each durable and acknowledged before it counts. */
export const small: Family = {
  name: 'small',
  missing: () => null,
  async run(bench) {
    const count = Math.min(2000, Math.ceil(bench.size / 500_000));
    const { owner, peer, sender } = await openPair(bench, 'small');
    const rounds = await plantRounds(owner, sender, bench, count);
    await sender.do('openSender', { config: owner.config });
    await peer.start();
    const disk = startWorker(bench);
    const medians = await contest(
      [
        pushing('anemone', sender, peer, rounds),
        {
          name: 'bare loop',
          async run(round) {
            const work = { folder: join(bench.folder, `bare-${round}`), count, size };
            return { seconds: await disk.do('bareCommits', work), cpuSeconds: 0 };
          },
        },
      ],
      bench.rounds,
    );
    const [mine, bare] = ['anemone', 'bare loop'].map((name) => of(medians, name).seconds) as [number, number];
    const detail = `backups a second: anemone ${(count / mine).toFixed(0)}, write+fsync+link+fsync ${(count / bare).toFixed(0)}`;
    return [
      atLeast(`${count} backups of 100 KB to one peer, against a bare loop on its disk`, 0.7, 'x', bare / mine, detail),
    ];
  },
};

/** A node that has held backups for years. */
export const manyHeld: Family = {
  name: 'many-held',
  missing: () => null,
  async run(bench) {
    const held = Math.min(100_000, Math.ceil(bench.size / 10_000));
    const pushes = 100;
    const [full, empty] = [await openPair(bench, 'full'), await openPair(bench, 'empty')];
    const { owner, peer } = full;
    const planting = { config: owner.config, holder: peer.config, source: join(bench.folder, 'held'), size: 1000 };
    await full.sender.do('plantBackups', { ...planting, set: 'backup', count: held });
    const contenders: Contender[] = [];
    let [read, started] = [0, 0];
    for (const [label, pair] of Object.entries({ full, empty })) {
      const rounds = await plantRounds(pair.owner, pair.sender, bench, pushes);
      await pair.sender.do('openSender', { config: pair.owner.config });
      const first = await pair.peer.start();
      if (pair === full) {
        read = first;
        await pair.peer.stop();
        started = await pair.peer.start();
      }
      contenders.push(pushing(label, pair.sender, pair.peer, rounds));
    }
    const pages = await full.sender.do('listPages', { to: peer.name });
    const medians = await contest(contenders, bench.rounds);
    const [withMany, withNone] = ['full', 'empty'].map((name) => of(medians, name).seconds) as [number, number];
    const cost = `milliseconds a push: ${((withMany / pushes) * 1000).toFixed(1)} and ${((withNone / pushes) * 1000).toFixed(1)}`;
    const typical = [...pages].sort((a, b) => a - b)[Math.floor(pages.length / 2)] ?? Number.NaN;
    const first = `${pages.length} pages; the first one, with the sorting, ${(pages[0] ?? 0).toFixed(0)} ms`;
    return [
      atMost(
        `a node with ${held} backups starts`,
        2,
        's',
        started,
        `until it serves; ${read.toFixed(1)} s where nothing is written down`,
      ),
      atMost(`a page of its listing of ${held}`, 50, 'ms', typical, first),
      atMost(`a push to it, against an empty node`, 1.1, 'x', withMany / withNone, cost),
    ];
  },
};
