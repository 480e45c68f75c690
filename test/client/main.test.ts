import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readFile } from 'node:fs/promises';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { nodeProgram } from '../support/node-process.js';
import { anemonePeer, clientProgram } from '../support/program.js';
import { temporaryFolder } from '../support/temporary-folder.js';

let cwd: string;
beforeEach(async () => {
  cwd = await temporaryFolder();
});

const run = (...args: string[]) => anemonePeer(args, { cwd });

describe('the help', () => {
  it('names every command and every exit code, on standard output', async () => {
    const { code, stdout, stderr } = await run('--help');
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const commands = 'init identity peer config backup push list show fetch restore status kit doctor completion';
    for (const command of commands.split(' ')) expect(stdout).toMatch(new RegExp(`^ +${command} `, 'm'));
    for (const exit of [0, 1, 2, 3, 10, 11, 12, 13, 75, 130]) expect(stdout).toMatch(new RegExp(` ${exit} +[a-z]`));
  });

  it('loads nothing of gRPC', async () => {
    const script = `process.argv = ['node', 'anemone-peer', '--help']; 
      process.on('exit', () => process.stderr.write(String(process.moduleLoadList.includes('NativeModule http2'))));
      await import(${JSON.stringify(clientProgram)});`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', script]);
    let loaded = '';
    child.stderr.on('data', (text) => {
      loaded += text;
    });
    child.stdout.resume();
    await once(child, 'close');
    expect(loaded).toBe('false');
  });

  it('comes on standard error, with exit code 2, when no command was given', async () => {
    const { code, stdout, stderr } = await run();
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toContain('Usage:');
  });
});

describe('what Node.js itself says', () => {
  it.each([clientProgram, nodeProgram])('about how far its own parts are is nothing for a person: %s', (program) => {
    const experiment = encodeURIComponent('process.emitWarning("X25519 is new", "ExperimentalWarning")');
    const env = { ...process.env, NODE_OPTIONS: `--import=data:text/javascript,${experiment}` };
    const { status, stderr } = spawnSync(program, ['--version'], { env, encoding: 'utf8' });
    expect([status, stderr]).toEqual([0, '']);
  });
});

describe('a command that comes to no end', () => {
  it('says so, and does not end with a code that means something else', async () => {
    const stuck = encodeURIComponent(`import fs from 'node:fs'; import { syncBuiltinESMExports } from 'node:module';
      const { open } = fs.promises;
      fs.promises.open = (path, flags) => (path.endsWith('config.yaml') ? new Promise(() => {}) : open(path, flags));
      syncBuiltinESMExports();`);
    const env = { NODE_OPTIONS: `--import=data:text/javascript,${stuck}` };
    const { code, stderr } = await anemonePeer(['config', 'show', '--config', 'config.yaml'], { cwd, env });
    expect({ code, stderr }).toEqual({ code: 1, stderr: expect.stringContaining('error: the command stopped before') });
  });
});

describe('the version', () => {
  it('is that of the package', async () => {
    const { version } = JSON.parse(await readFile(join(import.meta.dirname, '../../package.json'), 'utf8'));
    expect(await run('--version')).toEqual({ code: 0, stdout: `${version}\n`, stderr: '' });
  });
});

describe('a peer that never answers', () => {
  let silent: Server;
  beforeEach(async () => {
    silent = createServer().listen(0, '127.0.0.1');
    await once(silent, 'listening');
    const { port } = silent.address() as AddressInfo;
    await run('init', '--no-page', '--name', 'FR1', '--listen', '127.0.0.1');
    const identity = Buffer.alloc(32, 7).toString('base64');
    await run('peer', 'add', 'FR2', '--vpn-ip', `127.0.0.1:${port}`, '--identity', identity);
  });
  afterEach(() => {
    silent.close();
  });

  it('is given up after the time that --timeout gives, and named', async () => {
    const { code, stdout } = await run('status', '--json', '--timeout', '0.3');
    expect(code).toBe(3);
    expect(JSON.parse(stdout).peers).toMatchObject([
      { name: 'FR2', ok: false, error: expect.stringContaining('within 0.3 s') },
    ]);
  });

  it.each([['SIGINT'], ['SIGTERM'], ['SIGHUP'], ['SIGHUP', 'SIGHUP']] as const)(
    'does not hold up an interrupt, which ends with exit code 130: %j',
    async (...signals) => {
      const child = spawn(process.execPath, [clientProgram, 'status'], { cwd });
      await once(silent, 'connection');
      for (const signal of signals) child.kill(signal);
      expect(await once(child, 'close')).toEqual([130, null]);
    },
  );
});

describe('a pipe whose reader has gone', () => {
  it('changes nothing of how the command ends, and is no error to see', async () => {
    await run('init', '--no-page', '--name', 'FR1', '--listen', '127.0.0.1');
    const command = `"${process.execPath}" "${clientProgram}" config show; echo "exit code $?" >&2`;
    const child = spawn('sh', ['-c', `(${command}) | true`], { cwd });
    let told = '';
    child.stderr.on('data', (text) => {
      told += text;
    });
    await once(child, 'close');
    expect(told).toBe('exit code 0\n');
  });
});

describe('a disk that is full where the output goes', () => {
  it('fails a command that could not tell its result, once it has ended', async () => {
    await run('init', '--no-page', '--name', 'FR1', '--listen', '127.0.0.1');
    const { code, stderr } = await runInShell('config show >/dev/full');
    expect(code).toBe(1);
    expect(stderr).toMatch(/^error: not all that this command had to say could be written: ENOSPC: [^\n]*\n$/);
  });
});

describe('a recovery key that nobody can see', () => {
  it.each([
    ['the disk for it is full', '>/dev/full', 'ENOSPC'],
    ['its reader has gone', '', 'EPIPE'],
  ])('belongs to no server: init makes nothing when %s', async (_why, redirection, reason) => {
    const { code, stderr } = await runInShell(`init --name FR1 --listen 127.0.0.1 --page page.html ${redirection}`);
    expect(code).toBe(1);
    expect(stderr).toContain('error: the recovery key of FR1 could not be shown');
    expect(stderr).toContain(reason);
    expect(stderr).not.toContain('    at ');
    const left = await readdir(cwd, { recursive: true, withFileTypes: true });
    expect(left.filter((entry) => !entry.isDirectory())).toEqual([]);
    expect(await run('init', '--no-page', '--name', 'FR1', '--listen', '127.0.0.1')).toMatchObject({ code: 0 });
  });
});

/** Runs a command line, behind a pipe whose reader is gone before it begins unless it goes elsewhere. */
async function runInShell(line: string): Promise<{ code: number; stderr: string }> {
  const child = spawn('sh', ['-c', `read begin; exec "$0" "$1" ${line}`, process.execPath, clientProgram], { cwd });
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  child.stdout.destroy();
  await once(child.stdout, 'close');
  child.stdin.end('now\n');
  const [code] = (await once(child, 'close')) as [number];
  return { code, stderr };
}
