import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

const client = join(import.meta.dirname, '../client/main.js');
const node = join(import.meta.dirname, '../node/main.js');

export function tell(line: string): void {
  process.stdout.write(`${line}\n`);
}

/**
 * Runs `anemone-peer` in a folder to its end, shows what it prints, and returns what was on standard output.
 * @throws Error with its exit code and messages, when the code is not 0
 */
export async function anemonePeer(args: readonly string[], folder: string, input = ''): Promise<string> {
  tell(`$ anemone-peer ${args.map((arg) => (/^[\w./:#=@+-]+$/.test(arg) ? arg : `'${arg}'`)).join(' ')}`);
  const child = spawn(process.execPath, [client, ...args], { cwd: folder, stdio: ['pipe', 'pipe', 'pipe'] });
  child.stdin.on('error', () => {});
  child.stdin.end(input);
  const output: string[] = [];
  const read = async (stream: NodeJS.ReadableStream, lines: string[]): Promise<void> => {
    for await (const line of createInterface({ input: stream })) {
      lines.push(line);
      if (!args.includes('--json') && !args.includes('--quiet')) tell(`  ${line}`);
    }
  };
  const messages: string[] = [];
  const [[code]] = await Promise.all([
    once(child, 'close') as Promise<[number]>,
    read(child.stdout, output),
    read(child.stderr, messages),
  ]);
  if (code !== 0) throw new Error(`anemone-peer ${args[0]} ended with exit code ${code}: ${messages.join('\n')}`);
  return output.join('\n');
}

/** Starts `anemone-node` in a folder and resolves when it listens. */
export async function anemoneNode(config: string, folder: string): Promise<ChildProcess> {
  tell(`$ anemone-node --config ${config} &`);
  const child = spawn(process.execPath, [node, '--config', config], {
    cwd: folder,
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const lines: string[] = [];
  const started = new Promise<void>((resolve, reject) => {
    createInterface({ input: child.stderr })
      .on('line', (line) => {
        lines.push(line);
        if (line.includes('"event":"node started"')) resolve();
      })
      .on('close', () => reject(new Error(`anemone-node ended at its start: ${lines.join('\n')}`)));
  });
  await started;
  return child;
}

export async function stopNode(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const closed = once(child, 'close');
  child.kill('SIGTERM');
  await closed;
}

/** Ports of 127.0.0.1 that were free a moment ago. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer().listen(0, '127.0.0.1');
      await once(server, 'listening');
      return server;
    }),
  );
  const ports = servers.map((server) => (server.address() as { port: number }).port);
  await Promise.all(servers.map((server) => once(server.close(), 'close')));
  return ports;
}
