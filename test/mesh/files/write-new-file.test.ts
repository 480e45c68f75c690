import { readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { writeNewFile } from '../../../src/mesh/files/write-new-file.js';
import { temporaryFolder } from '../../support/temporary-folder.js';

let folder: string;
let path: string;
beforeEach(async () => {
  folder = await temporaryFolder();
  path = join(folder, 'file');
});

describe('a new file', () => {
  it('is for whom it is meant', async () => {
    await writeNewFile(path, 'content', 0o600);
    expect(await readFile(path, 'utf8')).toBe('content');
    expect((await stat(path)).mode & 0o777).toBe(0o600);
  });

  it('replaces none that is there', async () => {
    await writeFile(path, 'mine');
    await expect(writeNewFile(path, 'content', 0o600)).rejects.toMatchObject({ code: 'EEXIST' });
    expect(await readFile(path, 'utf8')).toBe('mine');
  });

  it('is gone again where it could not be written whole', async () => {
    const unwritable = { toString: () => 'no text' } as unknown as string;
    await expect(writeNewFile(path, unwritable, 0o600)).rejects.toThrow();
    expect(await readdir(folder)).toEqual([]);
  });
});
