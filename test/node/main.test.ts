import { mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/mesh/terms/clock.js';
import { type Mesh, type MeshServer, makeMesh, withMesh } from '../support/mesh.js';
import { anemoneNode } from '../support/program.js';

let mesh: Mesh;
let fr1: MeshServer;
beforeAll(async () => {
  mesh = await makeMesh('FR1');
  fr1 = mesh.server('FR1');
  await fr1.edit((text) => text.replace('keep_last: 7', 'keep_last: 1'));
}, 60_000);
afterAll(() => mesh.close());

const run = (...args: string[]) => anemoneNode(args, { cwd: fr1.folder });

describe('anemone-node', { timeout: 60_000 }, () => {
  it('prints its help, and the version of the package', async () => {
    const { version } = JSON.parse(await readFile(join(import.meta.dirname, '../../package.json'), 'utf8'));
    expect(await run('--version')).toEqual({ code: 0, stdout: `${version}\n`, stderr: '' });
    const { code, stdout, stderr } = await run('--help');
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    for (const flag of ['--config', '--check', '--prune', '--dry-run', '--health', '--log', '--version']) {
      expect(stdout).toContain(flag);
    }
  });

  it.each([
    [['--chek'], '--chek'],
    [['--log', 'loud'], '--log takes debug, info, warn, error, not loud'],
    [['--dry-run'], '--dry-run goes with --prune'],
    [['serve'], 'serve'],
  ])('ends with exit code 2 for %j, and says why', async (args, why) => {
    const { code, stdout, stderr } = await run(...args);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toContain(why);
    expect(stderr).toContain('anemone-node --help');
  });

  it('takes an empty variable for none, as the client does', async () => {
    const empty = { cwd: fr1.folder, env: { ANEMONE_LOG: '', ANEMONE_CONFIG: '' } };
    expect(await anemoneNode(['--check'], empty)).toMatchObject({ code: 0, stderr: '' });
  });

  it('with --check tells a right configuration from a wrong one, and from one that is not there', async () => {
    expect(await run('--check')).toEqual({ code: 0, stdout: `${fr1.config} is right\n`, stderr: '' });
    const wrong = join(mesh.root, 'wrong.yaml');
    await writeFile(wrong, (await readFile(fr1.config, 'utf8')).replace('listen:', 'lisen:'));
    const checked = await run('--check', '--config', wrong);
    expect(checked).toMatchObject({ code: 2, stdout: '', stderr: expect.stringMatching(/wrong\.yaml:\d+.*lisen/) });
    const gone = await run('--check', '--config', join(mesh.root, 'gone.yaml'));
    expect(gone).toMatchObject({ code: 2, stdout: '', stderr: expect.stringContaining('gone.yaml') });
  });

  it('does not start where its socket would take the place of a file, and leaves the file as it is', async () => {
    const file = join(mesh.root, 'dump.sql');
    await writeFile(file, 'precious');
    const other = join(fr1.folder, 'other.yaml');
    await writeFile(other, (await readFile(fr1.config, 'utf8')).replace('server:\n', `server:\n  socket: ${file}\n`));
    const { code, stderr } = await run('--config', other);
    expect({ code, stderr }).toEqual({
      code: 2,
      stderr: expect.stringContaining(`${file} is there, and is no socket`),
    });
    expect(await readFile(file, 'utf8')).toBe('precious');
  });

  it('does not start, and says so at once, where there can be no folder for its socket', async () => {
    const other = join(fr1.folder, 'other.yaml');
    const text = await readFile(fr1.config, 'utf8');
    await writeFile(other, text.replace('server:\n', 'server:\n  socket: /proc/anemone/node.sock\n'));
    expect(await run('--config', other)).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/cannot listen on server\.socket.*'\/proc\/anemone'/),
    });
  });

  it('with --health tells whether the node of this server serves, on a socket for its user only', async () => {
    expect(await run('--health')).toMatchObject({
      code: 1,
      stdout: '',
      stderr: expect.stringContaining('is not running'),
    });
    await fr1.startInside();
    try {
      expect(await run('--health')).toEqual({ code: 0, stdout: 'the node serves\n', stderr: '' });
      expect((await stat(join(fr1.data, '.state/node.sock'))).mode & 0o777).toBe(0o600);
    } finally {
      await fr1.stop();
    }
  });

  it('with --prune --dry-run shows what would go, while a node runs too; --prune waits for its end, and removes it', async () => {
    // Two backups of one second would give the later one a name, and a time, that is yet to come.
    await fr1.startInside({ ...systemClock, now: () => systemClock.now() - 3_600_000 });
    await fr1.peer(['backup', '--force']);
    await fr1.edit((text) => text.replace('keep_last: 1', 'keep_last: 7'));
    await fr1.stop();
    await fr1.startInside();
    await fr1.peer(['backup', '--force']);
    await fr1.edit((text) => text.replace('keep_last: 7', 'keep_last: 1'));
    const [older = '', newer = ''] = await fr1.holds('local');
    const shown = await run('--prune', '--dry-run');
    expect(shown).toMatchObject({ code: 0, stderr: '' });
    expect(shown.stdout).toMatch(new RegExp(`stays +${newer}.*\n.*goes +${older}`));
    expect(await run('--prune')).toMatchObject({ code: 11, stdout: '', stderr: expect.stringContaining('is running') });
    expect(await fr1.holds('local')).toEqual([older, newer]);
    await fr1.stop();
    const pruned = await run('--prune', '--log', 'warn');
    expect(pruned).toMatchObject({ code: 0, stderr: '' });
    expect(pruned.stdout).toContain(`removed ${older}\n`);
    expect(await fr1.holds('local')).toEqual([newer]);
    expect(await run('--prune')).toMatchObject({ code: 0, stdout: 'nothing to remove\n' });
  });

  it('tells with --prune of everything that could not be removed', () =>
    withMesh(['FR1'], async ([server]) => {
      for (const hours of [3, 2, 1]) {
        await server.startInside({ ...systemClock, now: () => systemClock.now() - hours * 3_600_000 });
        await server.peer(['backup', '--force']);
        await server.stop();
      }
      const [first = '', second = ''] = await server.holds('local');
      await server.edit((text) => text.replace('keep_last: 7', 'keep_last: 1'));
      const leaves = join(server.data, '.state/leaves');
      for (const file of await readdir(leaves)) {
        await rm(join(leaves, file));
        await mkdir(join(leaves, file));
      }
      const { code, stdout, stderr } = await anemoneNode(['--prune', '--log', 'error'], { cwd: server.folder });
      expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
      expect(stderr).toContain(`anemone-node: ${first} could not be removed`);
      expect(stderr).toContain(`anemone-node: ${second} could not be removed`);
    }));
});
