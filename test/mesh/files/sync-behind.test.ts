import { setImmediate } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { SyncBehind } from '../../../src/mesh/files/sync-behind.js';

const MiB = 2 ** 20;

/** A file whose syncs end when the test says so. */
function slowFile() {
  const syncs: { end(): void; fail(error: Error): void }[] = [];
  const datasync = (): Promise<void> =>
    new Promise((resolve, reject) => {
      syncs.push({ end: resolve, fail: reject });
    });
  return { syncs, file: { datasync } };
}

async function isPending(promise: Promise<unknown>): Promise<boolean> {
  let pending = true;
  const settle = (): void => {
    pending = false;
  };
  promise.then(settle, settle);
  await setImmediate();
  return pending;
}

describe('a large file that is made durable while it is written', () => {
  it('is left alone as long as it is small', async () => {
    const { file, syncs } = slowFile();
    const behind = new SyncBehind(file);
    for (let written = 0; written < 15; written += 1) await behind.wrote(MiB);
    await behind.settled();
    expect(syncs).toEqual([]);
  });

  it('is synced every 16 MiB, while its writer goes on', async () => {
    const { file, syncs } = slowFile();
    const behind = new SyncBehind(file);
    for (let written = 0; written < 31; written += 1) await behind.wrote(MiB);
    expect(syncs).toHaveLength(1);
    syncs[0]?.end();
    await behind.wrote(MiB);
    await setImmediate();
    expect(syncs).toHaveLength(2);
  });

  it('lets its writer wait for a disk that is 32 MiB behind', async () => {
    const { file, syncs } = slowFile();
    const behind = new SyncBehind(file);
    await behind.wrote(16 * MiB);
    const second = behind.wrote(16 * MiB);
    expect(await isPending(second)).toBe(true);
    syncs[0]?.end();
    await second;
  });

  it('has one sync at a time, however many write', async () => {
    const { file, syncs } = slowFile();
    const behind = new SyncBehind(file);
    const writers = [1, 2, 3].map(() => behind.wrote(16 * MiB));
    for (const nth of [1, 2, 3]) {
      await setImmediate();
      expect(syncs).toHaveLength(nth);
      syncs[nth - 1]?.end();
    }
    await Promise.all(writers);
  });

  it('is settled when what was begun has ended', async () => {
    const { file, syncs } = slowFile();
    const behind = new SyncBehind(file);
    await behind.wrote(16 * MiB);
    const settled = behind.settled();
    expect(await isPending(settled)).toBe(true);
    syncs[0]?.end();
    await settled;
  });

  it('tells of a sync that failed again and again, and makes no other', async () => {
    const { file, syncs } = slowFile();
    const behind = new SyncBehind(file);
    await behind.wrote(16 * MiB);
    syncs[0]?.fail(new Error('EIO'));
    for (let attempt = 0; attempt < 2; attempt += 1) {
      await expect(behind.wrote(16 * MiB)).rejects.toThrow('EIO');
      await expect(behind.settled()).rejects.toThrow('EIO');
    }
    expect(syncs).toHaveLength(1);
  });
});
