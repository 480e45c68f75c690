import { chmod, lchown, link, lstat, lutimes, mkdir, mkdtemp, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { copyTree } from '../../../../src/client/restore/place/copy-tree.js';
import { removeTree } from '../../../../src/client/restore/unpack/staging.js';
import { describeTree } from '../../../support/tree.js';

const isRoot = process.getuid?.() === 0;
let base: string;
beforeEach(async () => {
  base = await mkdtemp(join(tmpdir(), 'anemone-copy-'));
  await mkdir(join(base, 'from/tree/shut'), { recursive: true });
  await mkdir(join(base, 'to'));
});
afterEach(() => removeTree(base));

describe('a copy of a tree', () => {
  it('has the contents, links, modes, times and owners of the tree', async () => {
    const at = (name: string): string => join(base, 'from/tree', name);
    for (const name of ['plain', 'program', 'shut/private']) await writeFile(at(name), name);
    await link(at('plain'), at('shut/joined'));
    await symlink('plain', at('link'));
    if (isRoot) for (const name of ['program', 'link', 'shut']) await lchown(at(name), 65534, 1234);
    await chmod(at('program'), 0o4711);
    await chmod(at('shut/private'), 0o400);
    for (const [nth, name] of ['plain', 'program', 'shut/private', 'link', 'shut', '.'].entries()) {
      await lutimes(at(name), 1_700_000_000 + nth, 1_600_000_000 + nth);
    }
    await chmod(at('shut'), 0o500);
    await chmod(at('.'), 0o750);

    await copyTree(join(base, 'from/tree'), join(base, 'to/tree'), {
      copied: new Map(),
      signal: new AbortController().signal,
    });
    const copied = await describeTree(join(base, 'to'));
    expect(copied).toEqual(await describeTree(join(base, 'from')));
    expect(copied).toHaveLength(7);
    const groupOf = async (root: string) => (await lstat(join(base, root, 'tree/program'))).gid;
    expect(await groupOf('to')).toBe(await groupOf('from'));
  });
});
