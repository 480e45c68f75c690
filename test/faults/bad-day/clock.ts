import type { Clock } from '../../../src/mesh/terms/clock.js';
import { systemClock } from '../../../src/mesh/terms/clock.js';
import type { MeshServer } from '../../support/mesh.js';
import type { Recorder } from '../tally.js';
import { backUp } from '../two-nodes.js';
import { Victim } from './victim.js';

const day = 86_400_000;
const year = 365 * day;

/** The machine's clock jumps a year forth and back, and a night passes each time. The node runs inside this process. */
export async function jumpingClock(server: MeshServer, recorder: Recorder): Promise<void> {
  let ahead = 0;
  const clock: Clock = { ...systemClock, now: () => systemClock.now() + ahead };
  await server.edit((text) => text.replace('schedule: never', 'schedule: "0 2 * * *"'));
  await server.startInside(clock);
  const victim = new Victim(server, recorder);
  try {
    await victim.recovers('its start');
    for (let nth = 0; nth < 20; nth += 1) await victim.serves('before the clock jumps');
    await backUp(server);
    for (const [jump, when] of [
      [year, 'a year ahead'],
      [0, 'back again'],
      [-year, 'a year behind'],
      [0, 'right at last'],
    ] as const) {
      ahead = jump;
      await victim.serves(`with a clock that is ${when}`);
      const report = await backUp(server);
      if (report === undefined) recorder.problem(`with a clock that is ${when}, no night came to its end`);
      if (!report?.problems.some(({ message }) => message.includes('clock'))) {
        recorder.problem(
          `with a clock that is ${when}, the report says nothing of it: ${JSON.stringify(report?.problems)}`,
        );
      }
      await victim.answers(`after a night with a clock that is ${when}`);
      const next = (await victim.status()).nextRunAtMs - clock.now();
      if (next > 2 * day) recorder.problem(`with a clock that is ${when}, the next night is ${next} ms away`);
    }
    await victim.compare();
  } finally {
    victim.close();
    await server.stop();
  }
}
