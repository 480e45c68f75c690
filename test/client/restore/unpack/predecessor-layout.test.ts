import { lstat, mkdir, mkdtemp, readdir, readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  applyPredecessorLayout,
  hasPredecessorLayout,
} from '../../../../src/client/restore/unpack/predecessor-layout.js';
import { removeTree, stagingFolder } from '../../../../src/client/restore/unpack/staging.js';
import { unpack } from '../../../../src/client/restore/unpack/unpack.js';
import { putIntoPlace } from '../../../support/put-into-place.js';
import { rawTar, stream } from '../raw-tar.js';

const stamp = '20261123-010000';
let target: string;
beforeEach(async () => {
  target = join(await mkdtemp(join(tmpdir(), 'anemone-predecessor-')), 'config');
  await mkdir(target);
});
afterEach(() => removeTree(join(target, '..')));

/** Written by Python's tarfile, as the predecessor did: files of mode 0666, and no folders. */
const golden = new URL('predecessor.tar.gz', import.meta.url);

describe('an archive of the predecessor', () => {
  it('comes back with the modes that its own restore gave, and its marker', async () => {
    const staging = stagingFolder(target, stamp);
    const { entries } = await unpack(stream(await readFile(golden)), staging);
    expect(hasPredecessorLayout(entries)).toBe(true);
    const settled = await applyPredecessorLayout(staging, entries);
    const { switched } = await putIntoPlace({ staging, target, entries: settled, stamp });

    const modes: Record<string, string> = {};
    for (const name of (await readdir(target, { recursive: true })).sort()) {
      modes[name] = ((await lstat(join(target, name))).mode & 0o7777).toString(8);
    }
    expect(modes).toEqual({
      '.restic.encrypted': '600',
      '.restic.salt': '600',
      '.setup-completed': '644',
      'config.yaml': '600',
      ssh: '700',
      'ssh/authorized_keys': '600',
      'ssh/id_rsa': '600',
      'ssh/id_rsa.pub': '644',
      wireguard: '755',
      'wireguard/private.key': '600',
      'wireguard/public.key': '644',
    });
    expect(settled.filter(({ kind }) => kind === 'folder').map(({ path }) => path)).toEqual(['wireguard', 'ssh']);
    expect(switched.map(({ path }) => path).sort()).toEqual(
      ['.restic.encrypted', '.restic.salt', '.setup-completed', 'config.yaml', 'ssh', 'wireguard'].map((name) =>
        join(target, name),
      ),
    );
    expect(await readFile(join(target, '.setup-completed'), 'utf8')).toBe('');
    expect(await readFile(join(target, 'config.yaml'), 'utf8')).toBe('node:\n  name: FR1\n');
    expect([...(await readFile(join(target, '.restic.encrypted')))]).toEqual([0, 1, 2, 255]);
  });

  it('is told from an archive of this program, which has a folder around its members', async () => {
    const archive = rawTar(
      { name: 'config/', type: '5', mode: 0o755 },
      { name: 'config/config.yaml' },
      { name: 'config/ssh/id_rsa' },
    );
    const { entries } = await unpack(stream(archive), stagingFolder(target, stamp));
    expect(hasPredecessorLayout(entries)).toBe(false);
  });

  it('is told from one of a server that backs up its configuration and keys from where they lie', async () => {
    const archive = rawTar(
      { name: 'config.yaml', mode: 0o644 },
      { name: 'ssh/id_rsa', mode: 0o600 },
      { name: 'wireguard/private.key', mode: 0o600 },
    );
    const { entries } = await unpack(stream(archive), stagingFolder(target, stamp));
    expect(hasPredecessorLayout(entries)).toBe(false);
  });

  it('may have any number of members', async () => {
    const mtime = new Date(1_700_000_000_000);
    const links = Array.from({ length: 200_000 }, (_, nth) => ({
      path: `link${nth}`,
      kind: 'symlink' as const,
      size: 0,
      mode: 0,
      mtime,
      target: 'config.yaml',
    }));
    const settled = await applyPredecessorLayout(target, links);
    expect(settled).toHaveLength(200_001);
    expect(settled.at(-1)).toMatchObject({ path: '.setup-completed', mtime });
  });

  it('may list itself and its folders, as tar does with `.`', async () => {
    const archive = rawTar(
      { name: './', type: '5', mode: 0o755 },
      { name: './config.yaml' },
      { name: './.restic.salt' },
      { name: './ssh/', type: '5', mode: 0o777 },
      { name: './ssh/id_rsa' },
    );
    const staging = stagingFolder(target, stamp);
    const { entries } = await unpack(stream(archive), staging);
    expect(hasPredecessorLayout(entries)).toBe(true);
    const settled = await applyPredecessorLayout(staging, entries);
    expect(settled.map(({ path, mode }) => [path, mode.toString(8)])).toEqual([
      ['config.yaml', '600'],
      ['.restic.salt', '600'],
      ['ssh', '700'],
      ['ssh/id_rsa', '600'],
      ['.setup-completed', '644'],
    ]);
  });
});
