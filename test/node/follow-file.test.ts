import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { fingerprint, followFile } from '../../src/node/follow-file.js';
import { FakeClock } from '../support/fake-clock.js';
import { temporaryFolder } from '../support/temporary-folder.js';

it('follows a change of the file that came after it was read, before anyone looked', async () => {
  const folder = await temporaryFolder();
  const file = join(folder, 'config.yaml');
  const clock = new FakeClock();
  let stop = (): void => {};
  try {
    await writeFile(file, 'before');
    const known = await fingerprint(file);
    await writeFile(file, 'after all');
    let changes = 0;
    await new Promise<void>((resolve) => {
      stop = followFile(file, known, clock, async () => {
        changes += 1;
        resolve();
      });
    });
    stop();
    expect(changes).toBe(1);
    expect(clock.pending()).toBe(0);
  } finally {
    stop();
  }
});
