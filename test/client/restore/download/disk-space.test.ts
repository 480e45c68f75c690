import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { withRoom } from '../../../../src/client/restore/download/disk-space.js';
import { commandTrial } from '../../../support/command.js';

/** What `action` gives where a backup of a mebibyte is to be restored into a folder. */
async function restoreInto(folder: string): Promise<{ readonly result: string; readonly stderr: string }> {
  const { context, said } = commandTrial({ cwd: folder });
  const need = { label: 'it', size: 2 ** 20, part: null, work: folder, isWhole: true, hint: 'Make room.' };
  const result = await withRoom(context, need, async () => 'restored');
  return { result, stderr: said.stderr };
}

it('a restore goes on where a file system does not tell how large it is', async () => {
  // It says that it has no blocks, as some that reach over a network do.
  expect(await restoreInto('/proc')).toEqual({ result: 'restored', stderr: '' });
});

it('a restore goes on where nothing can be told of the room', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'anemone-room-'));
  await rm(folder, { recursive: true });
  expect(await restoreInto(folder)).toEqual({ result: 'restored', stderr: '' });
});
