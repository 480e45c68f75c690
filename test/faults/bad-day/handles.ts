import { execFileSync } from 'node:child_process';
import { connect, type Socket } from 'node:net';
import { systemClock } from '../../../src/mesh/terms/clock.js';
import { closed } from './strangers.js';
import type { Trouble, Victim } from './victim.js';

/** Sockets that keep the handles of the node busy. */
const sockets = 60;

function limitHandles({ server }: Victim, soft: number): void {
  execFileSync('prlimit', ['--pid', String(server.pid), `--nofile=${soft}:`]);
}

/** A process may open no more files, while strangers hold sockets open. */
export const noHandles: Trouble = {
  name: 'no file handles',
  async run(victim) {
    const since = victim.server.events.all.length;
    const usual = Number(
      /open files\s+(\d+)/i.exec(
        execFileSync(
          'prlimit',
          ['--pid', String(victim.server.pid), '--nofile', '--raw', '--noheadings', '--output=DESCRIPTION,SOFT'],
          { encoding: 'utf8' },
        ),
      )?.[1] ?? 1024,
    );
    await victim.answers('before the handles are gone');
    limitHandles(victim, victim.handles());
    const held: Socket[] = [];
    const { host, port } = victim.peer.address;
    for (let nth = 0; nth < sockets; nth += 1) held.push(connect(port, host).on('error', () => {}));
    await Promise.all(held.map((socket) => Promise.race([closed(socket), systemClock.sleep(300)])));
    const when = 'without file handles';
    await victim.refuses(when, /too many open files/);
    await victim.answers(when, false);
    victim.logSays(since, when, /too many open files/);
    for (const socket of held) socket.destroy();
    limitHandles(victim, usual);
    await victim.recovers(this.name);
  },
};
