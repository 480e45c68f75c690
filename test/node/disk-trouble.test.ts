import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { diskTroubles } from '../../src/node/disk-trouble.js';
import { temporaryFolder } from '../support/temporary-folder.js';

let data: string;
beforeEach(async () => {
  data = await temporaryFolder();
});

describe('the disk of the vault', () => {
  it('is nothing to speak of while it takes backups', async () => {
    expect(await diskTroubles(data, 2e9, 1e9)).toEqual([]);
  });

  it('is below its floor: how much is free, and what that means', async () => {
    expect(await diskTroubles(data, 4096, 2 ** 30)).toEqual([
      expect.stringMatching(/4.00 KiB are free.*1.00 GiB.*refused/),
    ]);
  });

  it('has no more inodes, though bytes are free', async () => {
    const left = (ffree: number, files = 65_536) => diskTroubles(data, 2e9, 1e9, async () => ({ files, ffree }));
    expect(await left(0)).toEqual([expect.stringMatching(/no backup is kept: 0 of 65536 inodes are free/)]);
    expect(await left(5000)).toEqual([]);
    // A file system without a table of them, such as btrfs.
    expect(await left(0, 0)).toEqual([]);
  });

  it('cannot be written', async () => {
    expect(await diskTroubles(join(data, 'gone'), 2e9, 1e9)).toEqual([
      expect.stringMatching(/nothing can be written.*no such file/),
    ]);
  });
});
