import { execFileSync } from 'node:child_process';
import { mkdir, symlink, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { readSmallFile } from '../../../src/mesh/files/read-small-file.js';
import { temporaryFolder } from '../../support/temporary-folder.js';

let folder: string;
let path: string;
beforeEach(async () => {
  folder = await temporaryFolder();
  path = join(folder, 'file');
});

describe('a small file', () => {
  it('is read whole', async () => {
    await writeFile(path, 'content');
    expect((await readSmallFile(path)).toString()).toBe('content');
  });

  it.each<[string, () => unknown, object]>([
    ['missing', () => {}, { code: 'ENOENT' }],
    ['a pipe', () => execFileSync('mkfifo', [path]), { code: 'NOT_A_FILE', message: 'it is not a file' }],
    ['a folder', () => mkdir(path), { code: 'NOT_A_FILE', message: 'it is not a file' }],
    ['a link', () => symlink('/etc/passwd', path), { code: 'ELOOP' }],
    [
      'longer than any of them',
      async () => {
        await writeFile(path, '');
        await truncate(path, 2 ** 40);
      },
      { code: 'TOO_LARGE', message: expect.stringContaining('it has more than') },
    ],
  ])('that is %s is not waited for, nor read', async (_, make, expected) => {
    await make();
    await expect(readSmallFile(path)).rejects.toMatchObject(expected);
  });
});
