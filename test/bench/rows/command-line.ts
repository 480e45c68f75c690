import { type Contender, contest, of } from '../contest.js';
import { clientProgram, run, startOf, timed } from '../machine/processes.js';
import { makeServers, nextPort, type Server, writePeers } from '../machine/servers.js';
import { atMost, type Family } from '../row.js';
import { startWorker } from '../workers/worker.js';

const milliseconds = (seconds: number): string => (seconds * 1000).toFixed(0);

function program(name: string, ...command: string[]): Contender {
  return { name, run: () => timed([], () => run(command)) };
}

/** How long a person waits for the first line. */
export const startup: Family = {
  name: 'startup',
  missing: () => null,
  async run(bench) {
    const places = ['FR1', 'FR2'].map((name) => ({ name, listen: `127.0.0.1:${nextPort()}` }));
    const [owner, peer] = (await makeServers(bench, places)) as [Server, Server];
    await Promise.all([owner.start(), peer.start()]);
    const client = [...startOf(clientProgram), clientProgram];
    const medians = await contest(
      [
        program('node -e 0', process.execPath, '-e', '0'),
        program('--help', ...client, '--help'),
        program('list', ...client, 'list', '--config', owner.config),
      ],
      Math.max(bench.rounds, 11),
    );
    const nothing = of(medians, 'node -e 0').seconds;
    const detail = `milliseconds: ${[...medians].map(([name, { seconds }]) => `${name} ${milliseconds(seconds)}`).join(', ')}`;
    return [
      atMost('anemone-peer --help, against node -e 0', 2, 'x', of(medians, '--help').seconds / nothing, detail),
      atMost('anemone-peer list, against node -e 0', 3, 'x', of(medians, 'list').seconds / nothing, detail),
    ];
  },
};

/** The list of a whole mesh, with the real client. */
export const list: Family = {
  name: 'list',
  missing: () => null,
  async run(bench) {
    const peers = 50;
    const backups = Math.min(1000, Math.ceil(bench.size / 1_000_000));
    const [owner] = (await makeServers(bench, [{ name: 'FR1', listen: `127.0.0.1:${nextPort()}` }])) as [Server];
    const firstPort = nextPort() + 5000;
    const holders = startWorker(bench);
    const made = await holders.do('memoryPeers', {
      config: owner.config,
      folder: bench.folder,
      firstPort,
      peers,
      backups,
    });
    await writePeers(
      owner,
      made.map(({ port, ...peer }) => ({ ...peer, listen: `127.0.0.1:${port}` })),
    );
    await owner.start();
    const ask = (...only: string[]): Promise<string> => owner.client('list', '--json', ...only);
    const { total } = JSON.parse(await ask()) as { total: number };
    const medians = await contest(
      [
        { name: 'all', run: () => timed([], () => ask()) },
        { name: 'one', run: () => timed([], () => ask('--peer', 'P0')) },
      ],
      bench.rounds,
    );
    const [all, one] = ['all', 'one'].map((name) => of(medians, name).seconds) as [number, number];
    const detail = `${total} rows in ${milliseconds(all)} ms; one peer of the ${peers} in ${milliseconds(one)} ms`;
    return [
      atMost(`list over ${peers} peers with ${backups} backups each`, 1, 's', all, detail),
      atMost(`list over ${peers} peers, against one of them`, 1.5, 'x', all / one, detail),
    ];
  },
};
