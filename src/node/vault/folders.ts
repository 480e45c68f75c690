import { dirname } from 'node:path';
import { type Disk, hasCode, syncFolder } from './disk.js';
import type { Layout } from './layout.js';

/** The folders that every vault has, with names that outlast a power cut. */
export async function makeFolders(disk: Disk, layout: Layout): Promise<void> {
  const first = await disk.mkdir(layout.data, { recursive: true, mode: 0o700 });
  if (first !== undefined) {
    for (let made = layout.data; made !== dirname(first); made = dirname(made)) await syncFolder(disk, dirname(made));
  }
  for (const folder of [layout.local, layout.incoming, layout.quarantine, layout.state, layout.leaves]) {
    await disk.mkdir(folder, { recursive: true, mode: 0o700 });
  }
  await syncFolder(disk, layout.data);
}

/** Makes a folder whose name in its parent is durable. */
export async function makeFolder(disk: Disk, folder: string, parent: string): Promise<void> {
  try {
    await disk.mkdir(folder, { mode: 0o700 });
  } catch (thrown) {
    if (!hasCode(thrown, 'EEXIST')) throw thrown;
  }
  await syncFolder(disk, parent);
}
