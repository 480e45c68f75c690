import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { loadConfig } from '../../src/mesh/config/load.js';
import { followConfig } from '../../src/node/follow-config.js';
import { silent } from '../support/events.js';
import { FakeClock, settle } from '../support/fake-clock.js';
import { temporaryFolder } from '../support/temporary-folder.js';

it('ends when what it has begun to follow is in force, and follows nothing after that', async () => {
  const folder = await temporaryFolder();
  const file = join(folder, 'config.yaml');
  const write = (limit: string): Promise<void> =>
    writeFile(file, `server: { name: FR1, listen: 10.8.0.1 }\nlimits: { upload: ${limit} }\n`);
  await write('1MB');
  const { config } = await loadConfig(file);
  const order: string[] = [];
  let inForce = (): void => {};
  const following = await new Promise<ReturnType<typeof followConfig>>((begun) => {
    const node = followConfig({ config, log: silent, clock: new FakeClock() }, null, async () => {
      begun(node);
      await new Promise<void>((resolve) => {
        inForce = resolve;
      });
      order.push('in force');
    });
    void write('2MB').then(node.reload);
  });
  const stopped = following.stop().then(() => order.push('stopped'));
  await settle();
  inForce();
  await stopped;
  expect(order).toEqual(['in force', 'stopped']);

  await write('3MB');
  await expect(following.reload()).rejects.toMatchObject({ kind: 'interrupted' });
  expect(order).toEqual(['in force', 'stopped']);
});
