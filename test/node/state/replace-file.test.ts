import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { replaceFile } from '../../../src/mesh/files/replace-file.js';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'replace-'));
});
afterEach(() => rm(folder, { recursive: true }));

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
});
