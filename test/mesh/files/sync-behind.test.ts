import { setImmediate } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { SyncBehind } from '../../../src/mesh/files/sync-behind.js';

const MiB = 2 ** 20;

it('a disk that is 32 MiB behind is waited for by everybody who writes, also by whose bytes are few', async () => {
  const syncs: (() => void)[] = [];
  const behind = new SyncBehind({ datasync: () => new Promise((resolve) => syncs.push(resolve)) });
  const done: string[] = [];
  const write = (who: string, bytes: number) => behind.wrote(bytes).then(() => void done.push(who));
  await write('the first 16 MiB', 16 * MiB);
  const waiting = [write('the next 16 MiB', 16 * MiB), write('one byte beside them', 1)];
  await setImmediate();
  expect(done).toEqual(['the first 16 MiB']);
  syncs[0]?.();
  await Promise.all(waiting);
  expect(done).toHaveLength(3);
});
