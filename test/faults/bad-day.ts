import { withMesh } from '../support/mesh.js';
import { ownDisk } from '../support/own-disk.js';
import { manyOffers, manyStreams, slowPeer, tinyFrames } from './bad-day/bad-peers.js';
import { jumpingClock } from './bad-day/clock.js';
import { fullDisk, minimumFree, noDisk, noOwnDisk, readOnlyDisk } from './bad-day/disks.js';
import { noHandles } from './bad-day/handles.js';
import { slowStrangers, strangers } from './bad-day/strangers.js';
import { type Trouble, Victim } from './bad-day/victim.js';
import type { Kind, Recorder, Scale } from './tally.js';
import { serverOf } from './world.js';

const troubles: readonly Trouble[] = [
  fullDisk,
  readOnlyDisk,
  noDisk,
  noHandles,
  strangers,
  slowStrangers,
  tinyFrames,
  slowPeer,
  manyOffers,
  manyStreams,
];

/** Mebibytes that the node may ever have resident. Its heap is limited to much less than that. */
const mostMemory = 250;
const heap = '--max-old-space-size=64';

/**
 * What a machine, a network and other people do to a node, one thing after the other, to one and the same process. It has
 * to serve a good peer meanwhile, to say what is wrong, and to be its old self when it is over.
 */
export const badDay: Kind = {
  name: 'bad-day',
  title: 'a bad day for the node',
  missing: noOwnDisk,
  run: (recorder, scale) =>
    withMesh(['FR2'], async ([server]) => {
      await server.addPeer('FR1', '127.0.0.1:1', serverOf('FR1').identity);
      await server.addPeer('BAD', '127.0.0.1:2', serverOf('BAD').identity, { quota: '0' });
      await server.edit((text) => `${text}\nlimits:\n  minimum_free: ${minimumFree}\n`);
      const takeDiskAway = await ownDisk(server);
      try {
        await server.start({ args: [heap] });
        await suffer(new Victim(server, recorder), recorder, scale);
      } finally {
        await server.stop();
        takeDiskAway();
      }
      await jumpingClock(server, recorder);
    }),
};

async function suffer(victim: Victim, recorder: Recorder, scale: Scale): Promise<void> {
  try {
    await victim.recovers('its start');
    const { now: usual } = victim.memory();
    for (const trouble of troubles) {
      await trouble.run(victim, scale).catch((thrown) => {
        recorder.problem(`${trouble.name}: ${thrown instanceof Error ? thrown.stack : String(thrown)}`);
      });
    }
    await victim.compare();
    const { most } = victim.memory();
    const { call, push } = victim.worst;
    recorder.note =
      `resident ${usual.toFixed(0)} MiB before, ${most.toFixed(0)} at most; ` +
      `the slowest call took ${call.toFixed(0)} ms, the slowest push ${push.toFixed(0)}`;
    if (most > mostMemory) recorder.problem(`${most.toFixed(0)} MiB were resident`);
  } finally {
    victim.close();
  }
}
