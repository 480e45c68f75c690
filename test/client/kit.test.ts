import { execFileSync, spawnSync } from 'node:child_process';
import { statfsSync } from 'node:fs';
import { chmod, chown, lstat, mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { deriveKeys, parseRecoveryKey } from '../../src/mesh/identity/recovery-key.js';
import { parseKit } from '../../src/mesh/kit/parse-kit.js';
import { openVpn } from '../../src/mesh/kit/seal-vpn.js';
import { commandLine } from '../support/command-line.js';
import { clientProgram } from '../support/program.js';
import { temporaryFolder } from '../support/temporary-folder.js';

let cwd: string;
/** Where the user's own folder in memory is, as far as `init` can tell. */
let memory: string;
beforeEach(async () => {
  cwd = await temporaryFolder();
  memory = await mkdtemp('/dev/shm/anemone-memory-');
});
afterEach(async () => {
  await rm(memory, { recursive: true });
});

const run = (...args: string[]) => commandLine(args, { cwd, env: { XDG_RUNTIME_DIR: memory } });
const init = (...args: string[]) => run('init', '--name', 'FR1', '--listen', '10.8.0.1', ...args);
const kitFile = () => join(cwd, 'config/anemone-kit-FR1.txt');
const readKit = async (path = kitFile()) => parseKit(await readFile(path), path).kit;
/** As the kernel numbers it. */
const isTmpfs = (folder: string) => statfsSync(folder).type === 0x01021994;
const otherRecipient = 'age16kyh0mpja38d7w56a4zz00ufsvafev782nyfar3dj0978w8qly0q04x046';
const otherIdentity = Buffer.alloc(32, 7).toString('base64');
const addPeer = () => run('peer', 'add', 'FR2', '--vpn-ip', '10.8.0.2', '--identity', otherIdentity);

describe('init', () => {
  it('writes the kit beside the configuration, sealed to the key that it shows', async () => {
    await mkdir(join(cwd, 'config/wireguard'), { recursive: true });
    await writeFile(join(cwd, 'config/wireguard/wg0.conf'), '[Interface]\n');
    const { stdout } = await init('--json');
    const made = JSON.parse(stdout);
    expect(made).toMatchObject({ kit: kitFile(), page: null });
    const { identity, vpn } = await readKit();
    expect(identity).toBe(made.identity);
    if (vpn.kind !== 'sealed') throw new Error('the VPN configuration is not sealed');
    const files = await openVpn(vpn.armor, vpn.files, deriveKeys(parseRecoveryKey(made.recovery_key)).ageIdentity);
    expect(files[0]?.content).toBe('[Interface]\n');
  });

  it('says what the kit does not hold of the VPN', async () => {
    const file = join(cwd, 'config/wireguard/wg0.conf');
    await mkdir(join(cwd, 'config/wireguard'), { recursive: true });
    await writeFile(file, Buffer.from([0xff, 0xfe]));
    const { code, stderr } = await init();
    expect(code).toBe(0);
    expect(stderr).toContain(`the kit does not hold ${file}: it is not a text`);
    // The machine of the test may have a VPN.
    const { vpn } = await readKit();
    expect(stderr.includes('The kit holds no VPN configuration')).toBe(vpn.files.length === 0);
  });

  it('writes the page to print into memory, for its user only, and says to delete it', async () => {
    const { stdout, code } = await init();
    expect(code).toBe(0);
    const [folder = ''] = await readdir(memory);
    const path = join(memory, folder, 'anemone-kit-FR1.html');
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    expect((await stat(join(memory, folder))).mode & 0o777).toBe(0o700);
    expect(stdout).toContain(path);
    expect(stdout).toContain('THEN DELETE IT: it holds the recovery key. It is in memory only');
    const html = await readFile(path, 'utf8');
    expect(html).not.toMatch(/https?:\/\/(?!www\.w3\.org)|<script|url\(/);
    expect(await readdir(cwd)).not.toContain('anemone-kit-FR1.html');
  });

  it.skipIf(isTmpfs(tmpdir()))('does not say of a disk that it is in memory', async () => {
    const disk = join(cwd, 'disk');
    await mkdir(disk);
    const { stdout } = await commandLine(['init', '--name', 'FR1', '--listen', '10.8.0.1'], {
      cwd,
      env: { XDG_RUNTIME_DIR: disk },
    });
    const path = /\S+\.html/.exec(stdout)?.[0] ?? '';
    await rm(dirname(path), { recursive: true });
    expect(await readdir(disk)).toEqual([]);
    expect(stdout.includes('It is in memory only')).toBe(isTmpfs(join(path, '../..')));
  });

  it('leaves no part of a page that could not be written in full', async () => {
    // No file may have more than 8 KiB: a page has.
    const limited = ['ulimit -f 16; exec "$@"', 'sh', process.execPath, clientProgram, 'init', '--name', 'FR1'];
    for (const page of [[], ['--page', 'page.html']]) {
      const env = { ...process.env, XDG_RUNTIME_DIR: memory };
      const args = ['-c', ...limited, '--listen', '10.8.0.1', '--dir', `server${page.length}/config`, ...page];
      const { status, stdout, stderr } = spawnSync('sh', args, { cwd, env, encoding: 'utf8' });
      expect([status, stderr]).toEqual([3, expect.stringContaining('the printable page cannot be written')]);
      expect(stdout).toContain('This is the recovery key of FR1');
    }
    expect(await readdir(memory)).toEqual([]);
    expect(await readdir(cwd)).toEqual(['server0', 'server2']);
  });

  it.each([[['--no-page']], [['--json']]])('writes no page with %j', async (args) => {
    await init(...args);
    expect(await readdir(memory)).toEqual([]);
  });

  it('writes no page when the environment says so', async () => {
    const env = { XDG_RUNTIME_DIR: memory, ANEMONE_NO_PAGE: '1' };
    await commandLine(['init', '--name', 'FR1', '--listen', '10.8.0.1'], { cwd, env });
    expect(await readdir(memory)).toEqual([]);
  });

  it('writes the page where it is told to, also with --json', async () => {
    const { stdout } = await init('--json', '--page', 'page.html');
    expect(JSON.parse(stdout).page).toBe(join(cwd, 'page.html'));
    expect((await stat(join(cwd, 'page.html'))).mode & 0o777).toBe(0o600);
  });

  it.each(['config/page.html', 'config/..page.html', 'config-backups/page.html'])(
    'refuses a page in %s, and makes nothing',
    async (page) => {
      const { code, stderr, stdout } = await init('--page', page);
      expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
      expect(stderr).toContain('write it elsewhere');
      expect(await readdir(cwd)).toEqual([]);
    },
  );
});

describe('the kit', () => {
  it('follows the peers, where one is kept', async () => {
    await init();
    expect((await readKit()).peers).toEqual([]);
    const added = await addPeer();
    expect(added.stderr).toContain('The kit is refreshed');
    expect((await readKit()).peers).toMatchObject([{ name: 'FR2', identity: otherIdentity }]);
    await run('peer', 'remove', 'FR2');
    expect((await readKit()).peers).toEqual([]);
    await rm(kitFile());
    await addPeer();
    await expect(stat(kitFile())).rejects.toThrow('ENOENT');
  });

  it('is written again by `kit`, beside the configuration, elsewhere, or to standard output', async () => {
    await init();
    await rm(kitFile());
    expect((await run('kit')).stdout).toBe(`${kitFile()}\n`);
    expect((await readKit()).server).toBe('FR1');
    await run('kit', '-o', 'copy.txt');
    expect((await readKit(join(cwd, 'copy.txt'))).server).toBe('FR1');
    const { stdout } = await run('kit', '-o', '-');
    expect(parseKit(Buffer.from(stdout), 'stdout').kit.server).toBe('FR1');
  });

  it('is in the document, where standard output was asked for and is to be JSON', async () => {
    await init();
    const { stdout } = await run('kit', '-o', '-', '--json');
    expect(parseKit(Buffer.from(JSON.parse(stdout).text), 'stdout').kit.server).toBe('FR1');
    expect(JSON.parse((await run('kit', '--json')).stdout)).not.toHaveProperty('text');
  });

  it('makes no folder: that of a disk that is not there would be on another one', async () => {
    await init();
    const { code, stdout, stderr } = await run('kit', '-o', 'stick/kit.txt');
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toContain(`there is no folder ${join(cwd, 'stick')}`);
    expect(await readdir(cwd)).not.toContain('stick');
  });

  it('takes the place of a kit, and of nothing else', async () => {
    await init();
    await run('kit', '-o', 'copy.txt');
    const first = await readFile(join(cwd, 'copy.txt'), 'utf8');
    await addPeer();
    expect((await run('kit', '-o', 'copy.txt')).code).toBe(0);
    expect(await readFile(join(cwd, 'copy.txt'), 'utf8')).not.toBe(first);

    await writeFile(join(cwd, 'letter.txt'), 'mine');
    await symlink('copy.txt', join(cwd, 'link.txt'));
    await mkdir(join(cwd, 'folder'));
    for (const path of ['letter.txt', 'link.txt', 'folder']) {
      const { code, stderr } = await run('kit', '-o', path);
      expect([code, stderr]).toEqual([
        2,
        expect.stringContaining(`${join(cwd, path)} is there already, and is no kit`),
      ]);
    }
    expect(await readFile(join(cwd, 'letter.txt'), 'utf8')).toBe('mine');
    expect((await lstat(join(cwd, 'link.txt'))).isSymbolicLink()).toBe(true);
  });

  it('names what it could not take along', async () => {
    await init();
    const file = join(cwd, 'config/config.yaml');
    await writeFile(file, `${await readFile(file, 'utf8')}\nvpn: { config: [gone.conf] }\n`);
    const { code, stdout, stderr } = await run('kit', '--json');
    expect(code).toBe(0);
    expect(JSON.parse(stdout).missing).toEqual([{ path: join(cwd, 'gone.conf'), reason: 'it is not there' }]);
    expect(stderr).toContain('gone.conf: it is not there');
    expect((await addPeer()).stderr).toContain('gone.conf: it is not there');
  });
});

describe.skipIf(process.geteuid?.() !== 0)('as a user who may not read the VPN configuration', () => {
  it('the kit holds it as the one that root wrote did', async () => {
    const conf = join(cwd, 'config/wireguard/wg0.conf');
    await mkdir(dirname(conf), { recursive: true });
    await writeFile(conf, '[Interface]\n', { mode: 0o600 });
    await init();
    const { vpn } = await readKit();
    expect(vpn.files).toContainEqual({ path: conf, size: 12 });
    const ofUser = ['', 'config', 'config/config.yaml', 'config/anemone-kit-FR1.txt', 'config-backups'];
    const ofNode = ['', '/node.key', '/node.crt'].map((name) => `config-backups/.state${name}`);
    for (const path of [...ofUser, ...ofNode]) await chown(join(cwd, path), 65_534, 65_534);
    process.seteuid?.(65_534);
    const { code, stderr } = await addPeer().finally(() => process.seteuid?.(0));
    expect(code).toBe(0);
    expect(await readKit()).toMatchObject({ peers: [{ name: 'FR2' }], vpn });
    expect(stderr).toContain(`as the former kit did, since ${conf} cannot be looked at`);
  });
});

describe.skipIf(process.geteuid?.() !== 0)("as root in the folder of the node's user", () => {
  const nodeUser = 65_534;
  const ownerOf = async (path: string) => (await stat(path)).uid;

  it('configuration and kit stay files that the node can read', async () => {
    await init();
    const config = join(cwd, 'config');
    for (const path of [config, kitFile(), join(config, 'config.yaml')]) await chown(path, nodeUser, nodeUser);
    await addPeer();
    expect([await ownerOf(kitFile()), await ownerOf(join(config, 'config.yaml'))]).toEqual([nodeUser, nodeUser]);
    await rm(kitFile());
    await run('kit');
    expect(await ownerOf(kitFile())).toBe(nodeUser);
  });
});

describe('doctor', () => {
  it('says what is wrong with a server that was only just made, and exits with 1', async () => {
    await init();
    const { code, stdout } = await run('doctor', '--json');
    expect(code).toBe(1);
    const { verdict, checks, findings } = JSON.parse(stdout);
    expect(verdict).toBe('error');
    expect(findings).toContainEqual(expect.objectContaining({ check: 'node', severity: 'error' }));
    expect(findings).toContainEqual(
      expect.objectContaining({ check: 'peers', mend: expect.stringContaining('peer add') }),
    );
    expect(checks).toContainEqual({ check: 'kit', ok: true });
    const { stdout: text } = await run('doctor');
    expect(text).toContain('no peer is configured');
    expect(text).toContain('-> anemone-peer peer add');
    expect(text).toMatch(/^runs\tnot checked\t$/m);
    expect(text).toMatch(/^restores\tadvice\ta recovery was never proven$/m);
  });

  it('names what a restore that was killed has left beside the configuration', async () => {
    await init();
    const left = join(cwd, '.anemone-restore-20261123-010000');
    await mkdir(left);
    await writeFile(join(cwd, '.anemone-restore-notes'), 'of a person');
    const { findings } = JSON.parse((await run('doctor', '--json')).stdout);
    expect(findings.filter(({ mend }: { mend: string }) => mend.includes('rm '))).toEqual([
      expect.objectContaining({
        check: 'restores',
        severity: 'warning',
        mend: `Unless a restore is under way: rm -r ${left}`,
      }),
    ]);
  });

  it('says why a node does not start that cannot tell which node keys are superseded', async () => {
    await init();
    const file = join(cwd, 'config-backups/.state/epochs.json');
    await writeFile(file, '{');
    const { findings } = JSON.parse((await run('doctor', '--json')).stdout);
    expect(findings).toContainEqual(
      expect.objectContaining({
        check: 'keys',
        severity: 'error',
        problem: expect.stringContaining(`${file} cannot be read`),
        mend: expect.stringContaining(`mv ${file} `),
      }),
    );
    const { mend } = findings.find(({ check }: { check: string }) => check === 'node');
    expect(mend).toBe('Mend what is said above of its files; then start it.');
  });

  it('says so when the kit is not current any more', async () => {
    await init();
    const file = join(cwd, 'config/config.yaml');
    await writeFile(file, (await readFile(file, 'utf8')).replace('10.8.0.1', '10.8.0.9'));
    const { stdout } = await run('doctor', '--json');
    expect(JSON.parse(stdout).findings).toContainEqual(
      expect.objectContaining({ check: 'kit', mend: expect.stringContaining('anemone-peer kit') }),
    );
  });

  it.each([
    ['a pipe', 'it is not a file', () => execFileSync('mkfifo', [kitFile()])],
    ['a huge file', 'it has more than 1048576 bytes', () => execFileSync('truncate', ['-s', '1T', kitFile()])],
  ])('says so when %s is where the kit should be, and reads nothing of it', async (_, why, put) => {
    await init();
    await rm(kitFile());
    put();
    const { stdout } = await run('doctor', '--json');
    expect(JSON.parse(stdout).findings).toContainEqual(
      expect.objectContaining({ check: 'kit', problem: expect.stringContaining(why) }),
    );
  });

  it("says so when the backups are sealed to another server's key only, also once the kit follows", async () => {
    const { recipient } = JSON.parse((await init('--json')).stdout);
    const file = join(cwd, 'config/config.yaml');
    const findings = async () => JSON.parse((await run('doctor', '--json')).stdout).findings;
    const lacking = expect.objectContaining({
      check: 'configuration',
      severity: 'error',
      mend: expect.stringContaining(recipient),
    });
    expect(await findings()).not.toContainEqual(lacking);
    await writeFile(file, (await readFile(file, 'utf8')).replace(recipient, otherRecipient));
    await run('kit');
    expect(await findings()).toContainEqual(lacking);
    // As it is on a server that was made by version 0.1.0, or over the data of another one.
    const kept = join(cwd, 'config-backups/.state/recipient');
    await writeFile(kept, `${otherIdentity} ${recipient}\n`);
    expect(await findings()).not.toContainEqual(lacking);
    await rm(kept);
    expect(await findings()).not.toContainEqual(lacking);
  });

  it.skipIf(process.geteuid?.() !== 0)(
    'tells another user to run it as that of the node, and not what the key would tell',
    async () => {
      await init();
      await addPeer();
      await chmod(cwd, 0o755);
      process.seteuid?.(65_534);
      const { code, stdout } = await run('doctor', '--json').finally(() => process.seteuid?.(0));
      expect(code).toBe(3);
      const { checks, findings } = JSON.parse(stdout);
      for (const check of ['runs', 'peers', 'backups', 'kit', 'restores']) {
        expect(checks).toContainEqual({ check, ok: null });
      }
      expect(findings.map(({ why }: { why: string }) => why)).not.toContainEqual(
        expect.stringContaining('no night runs'),
      );
      expect(findings).toContainEqual(
        expect.objectContaining({
          check: 'keys',
          severity: 'warning',
          problem: expect.stringContaining('node.key'),
          mend: expect.stringMatching(
            /^Run this as the user of the node, or as root\. Where this is .* chown -R 65534 \S+\/config-backups$/,
          ),
        }),
      );
    },
  );

  it.skipIf(process.geteuid?.() !== 0)(
    'tells the user of the node how to get back a node key that is of somebody else',
    async () => {
      await init();
      await addPeer();
      await chmod(cwd, 0o755);
      const state = join(cwd, 'config-backups/.state');
      for (const path of [dirname(state), state]) await chown(path, 65_534, 65_534);
      process.seteuid?.(65_534);
      const { code, stdout } = await run('doctor', '--json').finally(() => process.seteuid?.(0));
      expect(code).toBe(1);
      const mend = `As root: chown 65534 ${join(state, 'node.key')} ${join(state, 'node.crt')}`;
      expect(JSON.parse(stdout).findings).toContainEqual(
        expect.objectContaining({ check: 'keys', severity: 'error', mend }),
      );
    },
  );

  describe.skipIf(process.geteuid?.() !== 0)('where root has left things in the folders of the node', () => {
    const nodeUser = 65_534;
    const asNodeUser = <T>(work: () => Promise<T>): Promise<T> => {
      process.seteuid?.(nodeUser);
      return work().finally(() => process.seteuid?.(0));
    };
    const filesOf = async () => {
      const { checks, findings } = JSON.parse((await run('doctor', '--json')).stdout);
      const of = ({ check }: { check: string }) => check === 'files';
      return { ok: checks.find(of).ok, findings: findings.filter(of) };
    };
    let data: string;
    beforeEach(async () => {
      await init();
      data = join(cwd, 'config-backups');
      for (const folder of ['.incoming', 'local', 'FR2', 'lost+found', '.state/receipts/FR2']) {
        await mkdir(join(data, folder), { recursive: true, mode: 0o700 });
      }
      for (const file of ['.state/runs.jsonl', '.state/receipts/FR2/x', 'FR2/x'])
        await writeFile(join(data, file), '', { mode: 0o600 });
      execFileSync('chown', ['-R', `${nodeUser}:${nodeUser}`, cwd]);
      await chown(join(data, 'lost+found'), 0, 0);
    });

    it('finds nothing but what the node has to use, and lets it read a configuration of root', async () => {
      await chown(join(cwd, 'config/config.yaml'), 0, 0);
      expect(await filesOf()).toEqual({ ok: true, findings: [] });
      expect(await asNodeUser(filesOf)).toEqual({ ok: true, findings: [] });
    });

    it('has nothing to say of what the group or everybody may use, as on a mount that is shared', async () => {
      for (const [path, uid, gid, mode] of [
        ['', 0, nodeUser, 0o2770],
        ['FR2', 0, 0, 0o777],
        ['FR2/x', 0, 0, 0o644],
      ] as const) {
        await chown(join(data, path), uid, gid);
        await chmod(join(data, path), mode);
      }
      expect(await filesOf()).toEqual({ ok: true, findings: [] });
    });

    it('names all of it at once, with the one command that gives it back', async () => {
      for (const path of ['.state/receipts', '.state/runs.jsonl', 'FR2/x', '.incoming'])
        await chown(join(data, path), 0, 0);
      const wanted = {
        check: 'files',
        severity: 'error',
        problem: `${data}/.incoming, ${data}/.state/receipts, ${data}/.state/runs.jsonl, ${data}/FR2/x belong to another user than the node's (uid 65534)`,
        mend: `As root: chown -R 65534:65534 ${data}/.incoming ${data}/.state ${data}/FR2; then restart the node.`,
      };
      for (const found of [await filesOf(), await asNodeUser(filesOf)]) {
        expect(found).toEqual({ ok: false, findings: [expect.objectContaining(wanted)] });
      }
      expect((await run('doctor')).stdout).not.toContain('Start it with');
    });

    it('names a configuration that only root may read, also to the user of the node, who reads nothing then', async () => {
      const file = join(cwd, 'config/config.yaml');
      await chown(file, 0, 0);
      await chmod(file, 0o600);
      const { findings } = await filesOf();
      expect(findings).toMatchObject([{ mend: `As root: chown -R 65534:65534 ${file}; then restart the node.` }]);
      const { stdout } = await asNodeUser(() => run('doctor'));
      expect(stdout).toContain(`Where this is the user of the node, as root: chown 65534 ${file}`);
    });

    it('has nothing to say to a user who may not look', async () => {
      await chmod(cwd, 0o755);
      process.seteuid?.(1234);
      const found = await filesOf().finally(() => process.seteuid?.(0));
      expect(found).toEqual({ ok: null, findings: [] });
    });
  });

  it('says what is wrong with a configuration that does not load', async () => {
    await init();
    await writeFile(join(cwd, 'config/config.yaml'), 'server: {}\n');
    const { code, stdout } = await run('doctor', '--json');
    expect(code).toBe(1);
    expect(JSON.parse(stdout).findings).toMatchObject([{ check: 'configuration', severity: 'error' }]);
  });

  it('says each of the things that are wrong with it by itself', async () => {
    await init();
    const file = join(cwd, 'config/config.yaml');
    await writeFile(file, 'server: { name: FR1, port: 1 }\npeers: 3\n');
    const { findings } = JSON.parse((await run('doctor', '--json')).stdout);
    expect(findings).toMatchObject([
      { problem: expect.stringMatching(/^\S+config\.yaml:1: server\.port: .*$/) },
      { problem: expect.stringMatching(/^\S+config\.yaml:2: peers: .*$/) },
    ]);
    expect((await run('doctor')).stdout).not.toContain('\\x0a');
  });
});
