import { existsSync } from 'node:fs';
import { chown, type FileHandle, mkdir, open, readdir, readFile, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { replaceFile } from '../../../src/mesh/files/replace-file.js';
import { temporaryFolder } from '../../support/temporary-folder.js';

let folder: string;
beforeEach(async () => {
  folder = await temporaryFolder();
});

describe('a file of the state', () => {
  it('is written whole, into folders made for the node alone', async () => {
    const path = join(folder, 'a', 'b', 'file');
    await replaceFile(path, 'one');
    await replaceFile(path, Buffer.from('two'));
    expect(await readFile(path, 'utf8')).toBe('two');
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    expect((await stat(join(folder, 'a'))).mode & 0o777).toBe(0o700);
    expect(await readdir(join(folder, 'a', 'b'))).toEqual(['file']);
  });

  it('is synced before it takes the place of the old one, and every folder that got a new name after that', async () => {
    const path = join(folder, 'a', 'file');
    const probe = await open(folder);
    const sync = vi.spyOn(Object.getPrototypeOf(probe) as FileHandle, 'sync').mockImplementation(async function (
      this: FileHandle,
    ) {
      const { ino } = await this.stat();
      steps.push([ino, existsSync(path)]);
    });
    const steps: [inode: number, isInPlace: boolean][] = [];
    try {
      await replaceFile(path, 'one');
    } finally {
      sync.mockRestore();
      await probe.close();
    }
    const [file, inner, outer] = await Promise.all([path, join(folder, 'a'), folder].map((each) => stat(each)));
    expect(steps).toEqual([
      [file?.ino, false],
      [inner?.ino, true],
      [outer?.ino, true],
    ]);
  });

  it('leaves the old content and no temporary when it cannot be written', async () => {
    const path = join(folder, 'file');
    await mkdir(path);
    await writeFile(join(path, 'inside'), 'kept');
    await expect(replaceFile(path, 'new')).rejects.toThrow();
    expect(await readdir(folder)).toEqual(['file']);
    expect(await readFile(join(path, 'inside'), 'utf8')).toBe('kept');
  });

  it('takes over what a crash left of an earlier attempt', async () => {
    await writeFile(join(folder, 'file.new'), 'half of something long');
    await replaceFile(join(folder, 'file'), 'whole');
    expect(await readFile(join(folder, 'file'), 'utf8')).toBe('whole');
    expect(await readdir(folder)).toEqual(['file']);
  });

  it('is not written through a link that lies in the place of its temporary', async () => {
    await writeFile(join(folder, 'elsewhere'), 'kept');
    await symlink('elsewhere', join(folder, 'file.new'));
    await replaceFile(join(folder, 'file'), 'whole');
    expect(await readFile(join(folder, 'elsewhere'), 'utf8')).toBe('kept');
    expect(await readFile(join(folder, 'file'), 'utf8')).toBe('whole');
  });

  it.skipIf(process.geteuid?.() !== 0)(
    'that root writes belongs to the user of the old one, or of its folder',
    async () => {
      const [old, fresh] = [join(folder, 'old'), join(folder, 'fresh')];
      await writeFile(old, 'one');
      await chown(old, 1234, 1234);
      await chown(folder, 65_534, 65_534);
      await replaceFile(old, 'two');
      await replaceFile(fresh, 'one');
      const owners = await Promise.all([old, fresh].map((path) => stat(path)));
      expect(owners.map(({ uid, gid, mode }) => [uid, gid, mode & 0o777])).toEqual([
        [1234, 1234, 0o600],
        [65_534, 65_534, 0o600],
      ]);
    },
  );
});
