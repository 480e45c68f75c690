import { randomBytes } from 'node:crypto';
import { link, mkdir, open, unlink } from 'node:fs/promises';
import { join } from 'node:path';

export const diskTasks = {
  /** Seconds for so many files one after the other: write, fsync, link, unlink, fsync of the folder. */
  async bareCommits(work: { readonly folder: string; readonly count: number; readonly size: number }): Promise<number> {
    const { folder, count, size } = work;
    await mkdir(folder, { recursive: true });
    const bytes = randomBytes(size);
    const before = performance.now();
    for (let index = 0; index < count; index += 1) {
      const temporary = join(folder, 'temporary');
      const file = await open(temporary, 'wx', 0o600);
      await file.write(bytes);
      await file.sync();
      await file.close();
      await link(temporary, join(folder, `file-${index}`));
      await unlink(temporary);
      const parent = await open(folder, 'r');
      await parent.sync();
      await parent.close();
    }
    return (performance.now() - before) / 1000;
  },
};
