import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import type { Contender } from '../contest.js';
import type { Bench } from '../row.js';
import { findProgram, inside, missingPrograms, run, timed } from './processes.js';

/** An OpenSSH server of its own: throwaway keys, no user but this one, gone with the family. */
export interface Sshd {
  readonly pid: number;
  /** Copies a file there with each program and cipher. */
  pushers(from: string, to: string): readonly Contender[];
  /** Copies a file from there with each program and cipher. */
  fetchers(from: string, to: string): readonly Contender[];
}

/** The fastest cipher of a machine with AES instructions, and the default of OpenSSH. */
const ciphers = { 'aes128-gcm': 'aes128-gcm@openssh.com', chacha20: 'chacha20-poly1305@openssh.com' };

export function missingSsh(): string | null {
  return missingPrograms(['sshd', 'openssh-server'], ['sftp', 'openssh-client'], ['rsync', 'rsync']);
}

export interface SshdOptions {
  readonly host: string;
  readonly port: number;
  readonly serverNetns?: string | undefined;
  readonly clientNetns?: string | undefined;
}

export async function startSshd(bench: Bench, options: SshdOptions): Promise<Sshd> {
  const folder = await mkdtemp(join(bench.folder, 'sshd-'));
  for (const key of ['host', 'user'])
    await run(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', join(folder, key)]);
  // sshd wants this folder when it starts as root; Debian's service would make it.
  if (process.getuid?.() === 0) await mkdir('/run/sshd', { recursive: true });
  await writeFile(join(folder, 'config'), serverConfig(folder, options));
  const [program, args] = inside(options.serverNetns, [
    findProgram('sshd') ?? 'sshd',
    ...['-D', '-e', '-f', join(folder, 'config')],
  ]);
  const server = spawn(program, args, { stdio: ['ignore', 'ignore', 'pipe'] });
  let said = '';
  server.stderr.setEncoding('utf8').on('data', (text: string) => {
    said = (said + text).slice(-2000);
  });
  bench.defer(async () => {
    if (server.exitCode === null) {
      server.kill();
      await once(server, 'exit');
    }
  });
  if (options.serverNetns === undefined) await reachable(options.host, options.port, () => said);
  else await setTimeout(500);
  const pid = server.pid ?? 0;
  return {
    pid,
    pushers: (from, to) => contenders(folder, options, pid, { from, to, up: true }),
    fetchers: (from, to) => contenders(folder, options, pid, { from, to, up: false }),
  };
}

function serverConfig(folder: string, { host, port }: SshdOptions): string {
  return [
    `ListenAddress ${host}:${port}`,
    `HostKey ${join(folder, 'host')}`,
    `AuthorizedKeysFile ${join(folder, 'user.pub')}`,
    `AllowUsers ${userInfo().username}`,
    'PidFile none',
    'StrictModes no',
    'UsePAM no',
    'PasswordAuthentication no',
    'PermitRootLogin prohibit-password',
    'MaxStartups 100',
    'Subsystem sftp internal-sftp',
    '',
  ].join('\n');
}

interface Copy {
  readonly from: string;
  readonly to: string;
  readonly up: boolean;
}

function contenders(folder: string, options: SshdOptions, pid: number, { from, to, up }: Copy): Contender[] {
  const { host, port, clientNetns: netns } = options;
  const settings = ['IdentityAgent=none', 'StrictHostKeyChecking=no', 'UserKnownHostsFile=/dev/null', 'LogLevel=ERROR'];
  const account = `${userInfo().username}@${host}`;
  const remote = (path: string): string => `${account}:${path}`;
  const endpoints = up ? [from, remote(to)] : [remote(from), to];
  return Object.entries(ciphers).flatMap(([label, cipher]) => {
    const flags = ['-i', join(folder, 'user'), '-F', 'none', '-c', cipher, ...settings.flatMap((each) => ['-o', each])];
    const take = (command: readonly string[], input = '') => timed([pid], () => run(command, { input, netns }));
    // -f: sftp flushes the file to the disk, as we do.
    const batch = `${up ? 'put -f' : 'get -f'} ${from} ${to}\n`;
    return [
      { name: `sftp ${label}`, run: () => take(['sftp', '-q', ...flags, '-P', `${port}`, '-b', '-', account], batch) },
      { name: `scp ${label}`, run: () => take(['scp', '-q', ...flags, '-P', `${port}`, ...endpoints]) },
      {
        name: `rsync ${label}`,
        run: () => take(['rsync', '-W', '--ignore-times', '-e', ['ssh', ...flags, '-p', port].join(' '), ...endpoints]),
      },
    ];
  });
}

async function reachable(host: string, port: number, said: () => string): Promise<void> {
  for (let attempt = 0; attempt < 50; attempt += 1) {
    const socket = connect({ host, port });
    const open = await Promise.race([
      once(socket, 'connect').then(() => true),
      once(socket, 'error').then(() => false),
    ]).catch(() => false);
    socket.destroy();
    if (open) return;
    await setTimeout(100);
  }
  throw new Error(`sshd does not answer: ${said()}`);
}
