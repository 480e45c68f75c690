import { execFileSync, spawnSync } from 'node:child_process';
import {
  chmod,
  chown,
  cp,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rename,
  rm,
  rmdir,
  stat,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { parseConfig } from '../../../src/mesh/config/load.js';
import { deriveKeys, parseRecoveryKey } from '../../../src/mesh/identity/recovery-key.js';
import { loadServerIdentity } from '../../../src/mesh/identity/server-identity.js';
import { commandLine } from '../../support/command-line.js';
import { anemonePeer, clientProgram } from '../../support/program.js';
import { temporaryFolder } from '../../support/temporary-folder.js';

let cwd: string;
beforeEach(async () => {
  cwd = await temporaryFolder();
});

const run = (...args: string[]) => commandLine(args, { cwd });
const init = (...args: string[]) => run('init', '--no-page', '--name', 'FR1', '--listen', '10.8.0.1', ...args);

/** A server that was made once; everything in its folder is relative to it, so that a copy is a server too. */
let made: string;
beforeAll(async () => {
  made = await mkdtemp(join(tmpdir(), 'anemone-made-'));
  await commandLine(['init', '--no-page', '--name', 'FR1', '--listen', '10.8.0.1'], { cwd: made });
});
afterAll(() => rm(made, { recursive: true }));
const copyServer = () => cp(made, cwd, { recursive: true });

const otherIdentity = Buffer.alloc(32, 7).toString('base64');

describe('init', () => {
  it('makes an identity that the recovery key it shows derives, and a configuration that is right', async () => {
    const { code, stdout } = await init('--json');
    expect(code).toBe(0);
    const made = JSON.parse(stdout);
    const { identity } = deriveKeys(parseRecoveryKey(made.recovery_key));
    expect(made).toMatchObject({
      name: 'FR1',
      listen: '10.8.0.1:7443',
      identity,
      config: join(cwd, 'config/config.yaml'),
    });
    expect((await loadServerIdentity(join(made.data, '.state'))).identity).toBe(identity);
    expect((await run('config', 'validate')).code).toBe(0);
  });

  it('shows the recovery key once, on one line, and writes it nowhere', async () => {
    const { stdout } = await init();
    const shown = /^ {4}([0-9A-Z]{6}(?:-[0-9A-Z]{4,6}){9})$/m.exec(stdout)?.[1] ?? '';
    const key = parseRecoveryKey(shown);
    expect(stdout).toContain('paper');
    const later = [
      await run('identity'),
      await run('identity', '--json'),
      await run('config', 'show'),
      await run('status'),
    ];
    const files = [
      await readFile(join(cwd, 'config/config.yaml'), 'utf8'),
      await readFile(join(cwd, 'config-backups/.state/node.key'), 'utf8'),
    ];
    const secrets = [shown.slice(0, 13), key.secret.toString('base64'), deriveKeys(key).ageIdentity];
    for (const text of [...later.map((end) => end.stdout + end.stderr), ...files]) {
      for (const secret of secrets) expect(text).not.toContain(secret);
    }
  });

  // Which of them have no name is for the version of Node.js to say.
  it.each([':/etc/localtime', '', 'GMT+2'])('makes a right configuration also where TZ is %j', async (TZ) => {
    const args = ['init', '--quiet', '--no-page', '--name', 'FR1', '--listen', '10.8.0.1'];
    const { code, stderr } = await anemonePeer(args, { cwd, env: { TZ } });
    expect({ code, stderr }).toEqual({
      code: 0,
      stderr: expect.stringMatching(/^(warning: the time zone .* UTC.*\n)?$/),
    });
    expect((await run('config', 'validate')).code).toBe(0);
    const text = await readFile(join(cwd, 'config/config.yaml'), 'utf8');
    if (stderr !== '') expect(text).toContain('timezone: UTC\n');
  });

  it('goes by the time zone of the machine', async () => {
    const args = ['init', '--quiet', '--no-page', '--name', 'FR1', '--listen', '10.8.0.1'];
    const { stderr } = await anemonePeer(args, { cwd, env: { TZ: 'Europe/Paris' } });
    expect(stderr).toBe('');
    expect(await readFile(join(cwd, 'config/config.yaml'), 'utf8')).toContain('timezone: Europe/Paris\n');
  });

  it('keeps the node key to its user', async () => {
    await init();
    expect((await stat(join(cwd, 'config-backups/.state/node.key'))).mode & 0o777).toBe(0o600);
    expect((await stat(join(cwd, 'config-backups/.state'))).mode & 0o777).toBe(0o700);
  });

  it('refuses where there is a server already, and changes nothing', async () => {
    await copyServer();
    const before = await readFile(join(cwd, 'config/config.yaml'), 'utf8');
    const again = await init();
    expect(again).toMatchObject({ code: 2, stdout: '' });
    expect(again.stderr).toContain('there is a server here already');
    expect(await readFile(join(cwd, 'config/config.yaml'), 'utf8')).toBe(before);
  });

  it('refuses where only the identity of a server is left', async () => {
    await copyServer();
    await rm(join(cwd, 'config'), { recursive: true });
    const again = await init();
    expect(again.code).toBe(2);
    const key = join(cwd, 'config-backups/.state/node.key');
    expect(again.stderr).toContain(`${key} exists`);
    expect(again.stderr).toContain(`For a new server, remove ${key}`);
    await rm(key);
    expect((await init()).stderr).toContain('node.crt exists');
    await expect(stat(join(cwd, 'config/config.yaml'))).rejects.toThrow('ENOENT');
  });

  it('refuses where only a configuration is, also an empty one, and says how to go on', async () => {
    await copyServer();
    await rm(join(cwd, 'config-backups/.state/node.key'));
    await rm(join(cwd, 'config-backups/.state/node.crt'));
    const file = join(cwd, 'config/config.yaml');
    for (const text of [await readFile(file, 'utf8'), '']) {
      await writeFile(file, text);
      const again = await init();
      expect(again.code).toBe(2);
      expect(again.stderr).toContain('no identity');
      expect(again.stderr).toContain(`For a new server, move ${file} away`);
    }
    await rm(file);
    expect((await init()).code).toBe(0);
  });

  it('asks first for the disk where the folder with the identity is gone, and so does every command', async () => {
    await copyServer();
    await rm(join(cwd, 'config-backups'), { recursive: true });
    const first = `Is the disk of ${join(cwd, 'config-backups')} mounted?`;
    for (const end of [await init(), await run('identity')]) {
      expect(end).toMatchObject({ code: 2, stdout: '' });
      expect(end.stderr).toContain(first);
      expect(end.stderr.indexOf(first)).toBeLessThan(end.stderr.search(/(?<!: )`anemone-peer restore`/));
    }
  });

  it('takes a server for one whose data are elsewhere', async () => {
    await copyServer();
    await rename(join(cwd, 'config-backups'), join(cwd, 'elsewhere'));
    const file = join(cwd, 'config/config.yaml');
    await writeFile(file, (await readFile(file, 'utf8')).replace('data: ./config-backups', 'data: ./elsewhere'));
    expect((await init()).stderr).toContain('there is a server here already');
  });

  it('leaves nothing that is in the way when the configuration cannot be written', async () => {
    // No file may grow: as on a full disk, it can be made and nothing can be written to it.
    const limited = ['ulimit -f 0; exec "$@"', 'sh', process.execPath, clientProgram, 'init', '--no-page'];
    const { status, stderr } = spawnSync('sh', ['-c', ...limited, '--name', 'FR1', '--listen', '10.8.0.1'], { cwd });
    expect(String(stderr)).toContain('the configuration cannot be written');
    expect(status).toBe(1);
    expect((await init()).code).toBe(0);
  });

  it.skipIf(process.getuid?.() !== 0)(
    'says whose folder it is that it may not write to, and what mends it',
    async () => {
      await chmod(cwd, 0o755);
      process.seteuid?.(1234);
      const above = await init().finally(() => process.seteuid?.(0));
      expect(above.stderr).toContain(`and ${cwd} belongs to uid 0. Run this as that user`);
      expect(above.stderr).not.toContain('chown');
      for (const name of ['config', 'config-backups']) {
        await mkdir(join(cwd, name));
        process.seteuid?.(1234);
        const { code, stderr } = await init().finally(() => process.seteuid?.(0));
        expect([code, stderr]).toEqual([
          1,
          expect.stringMatching(
            /This is uid 1234, and .* belongs to uid 0\. Run this as that user .*, or give it to this user, with `chown -R 1234:0 .*`/,
          ),
        ]);
        expect(stderr).toContain(`and ${join(cwd, name)} belongs`);
        await chown(join(cwd, name), 1234, 0);
      }
    },
  );

  it('makes no server before its recovery key was shown: where it is cut off, the next one says how to go on', async () => {
    const [here, cutOff] = [join(cwd, 'here'), join(cwd, 'cut-off')];
    await mkdir(here);
    const args = ['init', '--no-page', '--name', 'FR1', '--listen', '10.8.0.1'];
    await commandLine(args, { cwd: here, beforeShown: () => cp(here, cutOff, { recursive: true }) });
    expect((await commandLine(['identity'], { cwd: cutOff })).stderr).toContain('Run `anemone-peer init`');
    const { code, stderr } = await commandLine(args, { cwd: cutOff });
    const [, file = '', key = ''] = /remove (\S+) and (\S+) and run it again/.exec(stderr) ?? [];
    expect({ code, file, key }).toEqual({
      code: 2,
      file: join(cutOff, 'config/config.yaml'),
      key: join(cutOff, 'config-backups/.state/node.key'),
    });
    await Promise.all([rm(file), rm(key)]);
    expect((await commandLine(args, { cwd: cutOff })).code).toBe(0);
  });

  it('leaves nothing that is in the way when only half of the identity can be written', async () => {
    const inTheWay = join(cwd, 'config-backups/.state/node.crt.new');
    await mkdir(inTheWay, { recursive: true });
    const first = await init();
    expect(first.code).toBe(1);
    expect(first.stderr).toContain('the identity of this server cannot be stored');
    expect(first.stderr).toContain('belongs to no server');
    expect(await readdir(join(cwd, 'config'))).toEqual([]);
    await rmdir(inTheWay);
    expect((await init()).code).toBe(0);
  });

  it('shows how to start the node, in words for a shell', async () => {
    const { stdout } = await init('--dir', 'my server');
    expect(stdout).toContain(`anemone-node --config '${join(cwd, 'my server/config.yaml')}'\n`);
  });

  it('backs up its own configuration only, in a folder that is not called config', async () => {
    await init('--dir', 'fr1');
    const { stdout } = await run('config', 'show', '--json', '--config', 'fr1/config.yaml');
    expect(JSON.parse(stdout)).toMatchObject({
      server: { data: join(cwd, 'fr1/config-backups') },
      backup: { sets: { backup: { paths: ['./config.yaml'] } } },
    });
  });

  it.each([
    ['--name', 'local'],
    ['--name', '../FR1'],
    ['--listen', '10.8.0.1:99999'],
  ])('calls %s %s wrong usage', async (flag, value) => {
    const { code, stderr } = await init(flag, value);
    expect(code).toBe(2);
    expect(stderr).toContain(`error: ${flag}: `);
  });
});

describe('identity', () => {
  it('prints a command that adds this server to a peer', async () => {
    const { stdout } = await init('--json', '--dir', 'fr1/config');
    await run('init', '--no-page', '--name', 'FR2', '--listen', '10.8.0.2:7444', '--dir', 'fr2/config');
    const shown = await run('identity', '--config', 'fr2/config/config.yaml');
    const command = /anemone-peer (peer add .*)/.exec(shown.stdout)?.[1] ?? '';
    const added = await run(...command.split(' '), '--config', 'fr1/config/config.yaml');
    expect(added.code).toBe(0);
    const listed = await run('peer', 'list', '--json', '--config', 'fr1/config/config.yaml');
    expect(JSON.parse(listed.stdout).peers).toMatchObject([{ name: 'FR2', address: '10.8.0.2:7444' }]);
    expect(JSON.parse(stdout).peer_add).toContain('peer add FR1 --vpn-ip 10.8.0.1 ');
  });

  it('prints words for a shell, and lines for a configuration, that mean what they should', async () => {
    const { stdout: made } = await init('--json', '--name', '123', '--listen', '[fd00::1]:7444');
    const { stdout } = await run('identity');
    const lines = /^ {2}peers:\n(?: {4}.*\n?)+/m.exec(stdout)?.[0] ?? '';
    const { config } = parseConfig('/srv/config.yaml', `server:\n  name: FR2\n${lines.replace(/^ {2}/gm, '')}`);
    const { identity } = JSON.parse(made);
    expect(config.peers).toMatchObject([{ name: '123', address: { host: 'fd00::1', port: 7444 }, identity }]);
    const [command = ''] = /anemone-peer peer add .*/.exec(stdout) ?? [];
    // The shell of a folder in which a file matches the brackets, when they are not quoted.
    await writeFile(join(cwd, 'f:7444'), '');
    const words = execFileSync('sh', ['-c', command.replace('anemone-peer', "printf '%s\\n'")], { cwd });
    expect(String(words).split('\n')).toContain('[fd00::1]:7444');
  });

  it('asks for the address where the server listens on every interface', async () => {
    await init('--listen', '0.0.0.0');
    expect((await run('identity')).stdout).toContain("--vpn-ip '<its VPN address>'");
  });
});

describe('peer', () => {
  const add = (...args: string[]) =>
    run('peer', 'add', 'FR2', '--vpn-ip', '10.8.0.2', '--identity', otherIdentity, ...args);

  it('add, list and remove go round, and comments in the file stay', async () => {
    await copyServer();
    const file = join(cwd, 'config/config.yaml');
    const before = await readFile(file, 'utf8');
    const added = await add('--quota', '5GB');
    expect(added).toMatchObject({ code: 0, stdout: `FR2 is now in ${file}.\n` });
    expect(added.stderr).toContain('No node is running');
    const { peers } = JSON.parse((await run('peer', 'list', '--json')).stdout);
    expect(peers).toEqual([
      { name: 'FR2', address: '10.8.0.2:7443', identity: otherIdentity, enabled: true, quota: 5e9, reads: [] },
    ]);
    await mkdir(join(cwd, 'config-backups/FR2'));
    const removed = await run('peer', 'remove', 'FR2');
    const stays = `What it had backed up stays in ${join(cwd, 'config-backups/FR2')}: docs/deploy.md says how to remove it.`;
    expect(removed).toMatchObject({ code: 0, stdout: `FR2 is no longer in ${file}. ${stays}\n` });
    const after = await readFile(file, 'utf8');
    const comments = (text: string): string[] => text.split('\n').filter((line) => line.includes('#'));
    expect(comments(after)).toEqual(comments(before));
    expect(JSON.parse((await run('peer', 'list', '--json')).stdout)).toEqual({ peers: [] });
  });

  it('add is done already when the same peer is there, changes one that moved, and is refused for another one', async () => {
    await copyServer();
    await add();
    expect(JSON.parse((await add('--json')).stdout)).toMatchObject({ peer: 'FR2', changed: false });
    const moved = await add('--vpn-ip', '10.8.0.3');
    expect(moved).toMatchObject({ code: 0, stdout: `FR2 is changed in ${join(cwd, 'config/config.yaml')}.\n` });
    expect((await run('peer', 'list')).stdout).toContain('FR2\t10.8.0.3:7443\t');
    const other = await add('--identity', Buffer.alloc(32, 8).toString('base64'));
    expect(other.code).toBe(2);
    expect(other.stderr).toContain('FR2');
  });

  it.each([
    [['--identity', 'short'], '--identity'],
    [['--vpn-ip', '10.8.0.0/24'], '--vpn-ip'],
    [['--quota', 'much'], '--quota'],
  ])('add %j is wrong usage, and nothing is written', async (args, flag) => {
    await copyServer();
    const before = await readFile(join(cwd, 'config/config.yaml'), 'utf8');
    const { code, stderr } = await add(...args);
    expect(code).toBe(2);
    expect(stderr).toContain(`error: ${flag}: `);
    expect(await readFile(join(cwd, 'config/config.yaml'), 'utf8')).toBe(before);
  });

  it('add refuses the identity of this server itself', async () => {
    await copyServer();
    const { identity } = await loadServerIdentity(join(made, 'config-backups/.state'));
    const { code, stdout, stderr } = await run('peer', 'add', 'FR2', '--vpn-ip', '10.8.0.2', '--identity', identity);
    expect([code, stdout]).toEqual([2, '']);
    expect(stderr).toContain('the one of this server itself, FR1');
  });

  it('remove of an unknown one names the nearest', async () => {
    await copyServer();
    await add();
    const { code, stderr } = await run('peer', 'remove', 'FR3');
    expect(code).toBe(10);
    expect(stderr).toContain('Did you mean FR2?');
  });

  it('list is a plain line a peer behind a pipe, its cells separated by tabs', async () => {
    await copyServer();
    await add();
    expect((await run('peer', 'list')).stdout).toBe(`FR2\t10.8.0.2:7443\tenabled\t9.31 GiB\t${otherIdentity}\n`);
  });
});

describe('config', () => {
  it('validate names file, line, key and the nearest known key, and exits with 2', async () => {
    await copyServer();
    const file = join(cwd, 'config/config.yaml');
    await writeFile(file, (await readFile(file, 'utf8')).replace('timezone:', 'timezon:'));
    const { code, stdout, stderr } = await run('config', 'validate');
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(/config\.yaml:\d+:.*timezon.*timezone/s);
  });

  it('show prints a configuration that is the same when it is read again', async () => {
    await copyServer();
    const shown = await run('config', 'show');
    await writeFile(join(cwd, 'again.yaml'), shown.stdout);
    const again = await run('config', 'show', '--config', 'again.yaml');
    const body = (text: string): string => text.replace(/^#.*\n/, '');
    expect(body(again.stdout)).toBe(body(shown.stdout));
  });
});

describe('without a running node', () => {
  it.each([['backup'], ['push', 'sealed.enc']])(
    '%s says so, says how to start it, and exits with 75',
    async (...args) => {
      await copyServer();
      await writeFile(join(cwd, 'sealed.enc'), 'age-encryption.org/v1\n');
      const { code, stdout, stderr } = await run(...args);
      expect({ code, stdout }).toEqual({ code: 75, stdout: '' });
      expect(stderr).toContain('the node of this server is not running');
      expect(stderr).toContain('anemone-node');
    },
  );

  it('push warns that a file becomes what `restore latest` brings back, where the set was not named and has a source', async () => {
    await copyServer();
    await writeFile(join(cwd, 'sealed.enc'), 'age-encryption.org/v1\n');
    const warning = /^warning: this file becomes the newest backup of the set backup, .* `--set NAME`/m;
    expect((await run('push', 'sealed.enc')).stderr).toMatch(warning);
    for (const set of ['backup', 'export']) {
      expect((await run('push', 'sealed.enc', '--set', set)).stderr).not.toMatch(/^warning/m);
    }
  });

  it('push refuses a file that is not sealed, before it asks any node', async () => {
    await copyServer();
    const { code, stdout, stderr } = await run('push', 'config/config.yaml');
    expect({ code, stdout }).toEqual({ code: 13, stdout: '' });
    expect(stderr).toContain('is not sealed');
  });

  it('status shows what there is, and exits with 3', async () => {
    await copyServer();
    const { code, stdout, stderr } = await run('status', '--json');
    expect(code).toBe(3);
    expect(stderr).toContain('not running');
    expect(JSON.parse(stdout)).toMatchObject({ server: { name: 'FR1', running: false }, peers: [], last_run: null });
  });

  it('backup refuses a set that the configuration does not have', async () => {
    await copyServer();
    const { code, stderr } = await run('backup', '--set', 'db');
    expect(code).toBe(10);
    expect(stderr).toContain('It has: backup.');
  });
});
