import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import { decodeQR } from 'qr/decode.js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ageSealer } from '../../src/mesh/envelope/age.js';
import { rawTar } from '../client/restore/raw-tar.js';
import { commandLine } from '../support/command-line.js';
import { columnsOf, type Picture, readPng } from '../support/png.js';

const wireguard = '[Interface]\nPrivateKey = of FR1\n';

/** A server that was just made, with its page to print. */
let folder: string;
let recoveryKey: string;
let recipient: string;
const page = () => join(folder, 'page.html');
const kit = () => join(folder, 'config/anemone-kit-FR1.txt');

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'anemone-kit-system-'));
  await mkdir(join(folder, 'config/wireguard'), { recursive: true });
  await writeFile(join(folder, 'config/wireguard/wg0.conf'), wireguard);
  const args = ['init', '--name', 'FR1', '--listen', '10.8.0.1', '--page', page(), '--json'];
  const made = JSON.parse((await commandLine(args, { cwd: folder })).stdout);
  recoveryKey = made.recovery_key;
  recipient = made.recipient;
});
afterAll(() => rm(folder, { recursive: true, force: true }));

function demand(program: string, debianPackage = program): void {
  try {
    execFileSync(program, ['--version'], { stdio: 'pipe' });
  } catch (cause) {
    throw new Error(`this test needs the program ${program}: apt-get install -y ${debianPackage}`, { cause });
  }
}

/** Runs a shell command in a session of its own, so that a question for a secret reads its standard input. */
async function shell(command: string, input: string): Promise<string> {
  const child = spawn('sh', ['-c', command], { cwd: folder, detached: true, stdio: ['pipe', 'pipe', 'pipe'] });
  const output: Buffer[] = [];
  const errors: Buffer[] = [];
  child.stdout.on('data', (chunk) => output.push(chunk));
  child.stderr.on('data', (chunk) => errors.push(chunk));
  child.stdin.end(input);
  const [code] = await once(child, 'close');
  if (code !== 0) throw new Error(`${command} ended with ${code}: ${Buffer.concat(errors)}`);
  return Buffer.concat(output).toString('utf8');
}

async function browser(...args: string[]): Promise<void> {
  const profile = await mkdtemp(join(folder, 'browser-'));
  const quiet = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run'];
  const offline = ['--disable-background-networking', '--disable-component-update', '--disable-sync'];
  execFileSync('chromium', [...quiet, ...offline, `--user-data-dir=${profile}`, ...args, `file://${page()}`], {
    stdio: 'pipe',
    timeout: 120_000,
  });
}

describe('the page to print, in a browser', () => {
  let picture: Picture;

  beforeAll(async () => {
    demand('chromium');
    const file = join(folder, 'page.png');
    // A4 at 96 dots an inch, twice as fine.
    await browser(
      '--window-size=794,1123',
      '--force-device-scale-factor=2',
      '--hide-scrollbars',
      `--screenshot=${file}`,
    );
    picture = readPng(await readFile(file));
  });

  it('shows the recovery key as a code that a telephone reads', () => {
    expect(decodeQR(columnsOf(picture, picture.width / 4, (picture.width * 3) / 4))).toBe(recoveryKey);
  });

  it('is black on white', () => {
    const [first, ...rest] = picture.data.subarray(0, 4);
    expect([first, ...rest]).toEqual([255, 255, 255, 255]);
    let coloured = 0;
    for (let at = 0; at < picture.data.length; at += 4) {
      const [red = 0, green = 0, blue = 0] = picture.data.subarray(at, at + 3);
      if (Math.max(red, green, blue) - Math.min(red, green, blue) > 8) coloured += 1;
    }
    expect(coloured).toBe(0);
  });

  it('is one sheet of A4', async () => {
    const file = join(folder, 'page.pdf');
    await browser('--no-pdf-header-footer', `--print-to-pdf=${file}`);
    const pdf = await readFile(file, 'latin1');
    expect(pdf.match(/\/Type \/Page\b(?!s)/g)).toHaveLength(1);
    const [, width, height] = /\/MediaBox \[0 0 ([\d.]+) ([\d.]+)\]/.exec(pdf) ?? [];
    expect([Math.round(Number(width)), Math.round(Number(height))]).toEqual([595, 842]);
  });
});

describe('the kit, without this program', () => {
  beforeAll(async () => {
    demand('age');
    demand('python3');
    const [, program = ''] =
      /\n {2}key\.py:\n\n([\s\S]*?)\n\nFOR THE PROGRAM/.exec(await readFile(kit(), 'utf8')) ?? [];
    await writeFile(join(folder, 'key.py'), program);
  });

  it('has lines of Python that turn the recovery key, as people type it, into the key of age', async () => {
    for (const typed of [
      recoveryKey,
      recoveryKey.toLowerCase().replaceAll('-', ' '),
      recoveryKey.replaceAll('0', 'o'),
    ]) {
      await shell('python3 key.py > key.txt', `${typed}\n`);
      expect((await shell('age-keygen -y key.txt', '')).trim()).toBe(recipient);
    }
  });

  it('has a command for it that keeps the key to its user', async () => {
    await rm(join(folder, 'key.txt'), { force: true });
    const [, command = ''] = /run:\s+(.*key\.py > key\.txt.*)\n/.exec(await readFile(kit(), 'utf8')) ?? [];
    await shell(command, `${recoveryKey}\n`);
    expect((await shell('age-keygen -y key.txt', '')).trim()).toBe(recipient);
    expect((await stat(join(folder, 'key.txt'))).mode & 0o777).toBe(0o600);
  });

  it('says so when the recovery key is mistyped', async () => {
    const mistyped = recoveryKey.replace(/.$/, (last) => (last === '4' ? '8' : '4'));
    await expect(shell('python3 key.py', `${mistyped}\n`)).rejects.toThrow('this is not a recovery key');
  });

  it('opens its VPN configuration with the command that it shows', async () => {
    await shell('python3 key.py > key.txt', `${recoveryKey}\n`);
    const [, command = ''] = /\n {7}(sed -n .*)\n/.exec(await readFile(kit(), 'utf8')) ?? [];
    expect(await shell(command.replace('anemone-kit-FR1.txt', kit()), '')).toContain('PrivateKey = of FR1');
  });

  it('opens a backup with the command that it shows', async () => {
    await shell('python3 key.py > key.txt', `${recoveryKey}\n`);
    const archive = createGzip();
    archive.end(rawTar({ name: 'the file', body: 'its content' }));
    const sealed = ageSealer([recipient]).seal(archive);
    await pipeline(sealed, createWriteStream(join(folder, 'BACKUP.enc')));
    const [, command = ''] = /\n {7}(age -d .*\| tar -xz)\n/.exec(await readFile(kit(), 'utf8')) ?? [];
    await shell(command, '');
    expect(await readFile(join(folder, 'the file'), 'utf8')).toBe('its content');
    expect(await readdir(folder)).toContain('BACKUP.enc');
  });
});
