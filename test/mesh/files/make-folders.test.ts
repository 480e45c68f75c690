import { mkdir, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { makeFolders } from '../../../src/mesh/files/make-folders.js';
import { temporaryFolder } from '../../support/temporary-folder.js';

let folder: string;
beforeEach(async () => {
  folder = await temporaryFolder();
});

describe('folders', () => {
  it('are made as far as they are missing, and the first that was made is told', async () => {
    await mkdir(join(folder, 'a'));
    expect(await makeFolders(join(folder, 'a/b/c'), 0o700)).toBe(join(folder, 'a/b'));
    expect((await stat(join(folder, 'a/b'))).mode & 0o777).toBe(0o700);
    expect((await stat(join(folder, 'a/b/c'))).isDirectory()).toBe(true);
  });

  it('that are there stay as they are, also behind a link', async () => {
    await symlink('/tmp', join(folder, 'link'));
    expect(await makeFolders(folder)).toBeUndefined();
    expect(await makeFolders(join(folder, 'link'))).toBeUndefined();
  });

  it('are made by two at a time', async () => {
    const made = await Promise.all([makeFolders(join(folder, 'a/b/c')), makeFolders(join(folder, 'a/b/d'))]);
    expect(made).toContain(join(folder, 'a'));
    expect((await stat(join(folder, 'a/b/d'))).isDirectory()).toBe(true);
  });

  it('are not waited for where none can be made', async () => {
    await expect(makeFolders('/proc/anemone/config')).rejects.toMatchObject({ code: 'ENOENT' });
    await writeFile(join(folder, 'file'), '');
    await expect(makeFolders(join(folder, 'file'))).rejects.toMatchObject({ code: 'EEXIST' });
    await expect(makeFolders(join(folder, 'file/below'))).rejects.toMatchObject({ code: 'ENOTDIR' });
  });
});
