import { chmod, mkdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { compareTrees } from '../../../../src/client/restore/place/compare.js';
import { rootsOf } from '../../../../src/client/restore/unpack/folders-above.js';
import { type UnpackedEntry, unpack } from '../../../../src/client/restore/unpack/unpack.js';
import { temporaryFolder } from '../../../support/temporary-folder.js';
import { type RawMember, rawTar, stream } from '../raw-tar.js';

let base: string;
let target: string;
beforeEach(async () => {
  base = await temporaryFolder();
  target = join(base, 'target');
  await mkdir(join(target, 'config'), { recursive: true, mode: 0o755 });
  await chmod(join(target, 'config'), 0o755);
});

async function unpacked(...members: RawMember[]): Promise<readonly UnpackedEntry[]> {
  const root: RawMember = { name: 'config/', type: '5', mode: 0o755 };
  return (await unpack(stream(rawTar(root, ...members)), join(base, 'staging'))).entries;
}

async function put(name: string, content: string, mode = 0o644): Promise<void> {
  await writeFile(join(target, name), content);
  await chmod(join(target, name), mode);
}

const options = { ownership: false, signal: new AbortController().signal };
const compared = (entries: readonly UnpackedEntry[], at = target) =>
  compareTrees(entries, rootsOf(entries), { ...options, target: at });

describe('comparing a restore with what is there', () => {
  it('finds what is added, changed, the same, and dropped', async () => {
    await put('config/same', 'x');
    await put('config/content', 'old');
    await put('config/length', 'x');
    await put('config/mode', 'x', 0o600);
    await put('config/kind', 'x');
    await put('config/mine', 'x');
    await symlink('a', join(target, 'config/link'));
    await symlink('a', join(target, 'config/moved'));
    await put('neighbour', 'x');
    const entries = await unpacked(
      { name: 'config/same', body: 'x' },
      { name: 'config/content', body: 'new' },
      { name: 'config/length', body: 'xx' },
      { name: 'config/mode', body: 'x', mode: 0o644 },
      { name: 'config/kind', type: '5', mode: 0o755 },
      { name: 'config/kind/below' },
      { name: 'config/link', type: '2', linkname: 'a' },
      { name: 'config/moved', type: '2', linkname: 'b' },
      { name: 'config/fresh' },
      { name: 'config/joined', type: '1', linkname: 'config/same' },
    );
    expect(await compared(entries)).toEqual({
      added: ['config/kind/below', 'config/fresh', 'config/joined'],
      changed: ['config/content', 'config/length', 'config/mode', 'config/kind', 'config/moved'],
      same: ['config', 'config/same', 'config/link'],
      dropped: ['config/mine'],
    });
  });

  it('compares a hard link with the content that it joins', async () => {
    await put('config/a', 'x');
    await put('config/b', 'x');
    await put('config/c', 'y');
    const entries = await unpacked(
      { name: 'config/a', body: 'x' },
      { name: 'config/b', type: '1', linkname: 'config/a' },
      { name: 'config/c', type: '1', linkname: 'config/b' },
    );
    expect(await compared(entries)).toMatchObject({
      same: ['config', 'config/a', 'config/b'],
      changed: ['config/c'],
    });
  });

  it('drops nothing that lies in a folder which is taken apart, and does not compare that', async () => {
    await chmod(join(target, 'config'), 0o700);
    await put('config/mine', 'x');
    await mkdir(join(target, 'config/sub'));
    await put('config/sub/mine', 'x');
    const entries = await unpacked({ name: 'config/sub/', type: '5', mode: 0o755 }, { name: 'config/sub/file' });
    const units = entries.filter(({ path }) => path === 'config/sub');
    expect(await compareTrees(entries, units, { ...options, target })).toEqual({
      added: ['config/sub/file'],
      changed: [],
      same: ['config/sub'],
      dropped: ['config/sub/mine'],
    });
  });

  it('drops only what lies beside the backup in a folder that it does not list', async () => {
    await mkdir(join(target, 'config/sub'));
    await put('config/sub/file', 'old');
    await put('config/sub/mine', 'x');
    const entries = await unpacked({ name: 'config/sub/file', body: 'new' });
    const { changed, dropped } = await compared(entries);
    expect([changed, dropped]).toEqual([['config/sub/file'], ['config/sub/mine']]);
  });

  it.each(['a file', 'a link to the same'])(
    'drops %s that stands where the backup only implies a folder',
    async (what) => {
      await mkdir(join(target, 'other'));
      await put('other/file', 'x');
      await (what === 'a file' ? put('config/sub', 'x') : symlink('../other', join(target, 'config/sub')));
      const entries = await unpacked({ name: 'config/sub/file', body: 'x' });
      expect((await compared(entries)).dropped).toEqual(['config/sub']);
    },
  );

  it('ends when the user interrupts', async () => {
    const entries = await unpacked({ name: 'config/a' });
    const comparing = compareTrees(entries, rootsOf(entries), { ...options, target, signal: AbortSignal.abort() });
    await expect(comparing).rejects.toThrow('aborted');
  });

  it('finds everything added where the target does not exist', async () => {
    const entries = await unpacked({ name: 'config/a' });
    expect(await compared(entries, join(base, 'missing'))).toEqual({
      added: ['config', 'config/a'],
      changed: [],
      same: [],
      dropped: [],
    });
  });
});
