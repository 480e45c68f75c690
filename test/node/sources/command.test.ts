import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { setImmediate } from 'node:timers/promises';
import { rolldown } from 'rolldown';
import { beforeEach, describe, expect, it } from 'vitest';
import { openSource } from '../../../src/node/sources/open-source.js';
import type { Source } from '../../../src/node/sources/source.js';
import { newReading, sourceContract } from '../../contracts/source.contract.js';
import { temporaryFolder } from '../../support/temporary-folder.js';

let folder: string;
beforeEach(async () => {
  folder = await temporaryFolder();
});

function node(script: string, timeout = 60): Source {
  return openSource({ kind: 'command', command: [process.execPath, '-e', script], timeout }, folder, []);
}

/** Notes the process in a file, so that a test can see whether it still runs. */
const notePid = "require('fs').appendFileSync('pids', process.pid + '\\n');";
const writeForEver = "const w = () => process.stdout.write(Buffer.alloc(65536, 'x'), w); w();";

async function everyoneGone(): Promise<void> {
  const pids = (await readFile(join(folder, 'pids'), 'utf8').catch(() => '')).split('\n').filter(Boolean).map(Number);
  for (const pid of pids) await gone(pid);
}

async function gone(pid: number): Promise<void> {
  for (;;) {
    // A killed process whose parent has gone stays as a zombie until init collects it.
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => null);
    if (stat === null || /\) [ZX] /.test(stat)) return;
    await setImmediate();
  }
}

sourceContract('a command', async () => ({
  good: node(`${notePid} process.stdout.write('hello')`),
  long: node(notePid + writeForEver),
  broken: node(`${notePid} process.stdout.write('half'); process.exitCode = 3`),
  released: everyoneGone,
  dispose: async () => {},
}));

describe('a command as a source', () => {
  it('yields what the command writes to standard output, run in the base folder without a shell', async () => {
    const script = "process.stdout.write(process.cwd() + ' $HOME;' + process.argv[1])";
    const config = { kind: 'command', command: [process.execPath, '-e', script, '`id` | x'], timeout: 60 } as const;
    const output = await buffer(openSource(config, folder, []).read(newReading().context));
    expect(output.toString()).toBe(`${folder} $HOME;\`id\` | x`);
  });

  it('fails at the end of the stream, with the last lines of standard error, when the exit code is not 0', async () => {
    const script = `process.stdout.write('bytes');
      process.stderr.write('noise\\n'.repeat(9999) + 'connection refused\\r\\n\\x1b[31mgiving up\\x07\\n');
      process.exitCode = 4`;
    let received = '';
    const reader = async (): Promise<void> => {
      for await (const chunk of node(script).read(newReading().context)) received += Buffer.from(chunk).toString();
    };
    const failure = await reader().catch((error) => error);
    expect(received).toBe('bytes');
    expect(failure).toMatchObject({ kind: 'failed' });
    expect(failure.message).toMatch(/exit code 4: noise; noise; noise; connection refused; \[31mgiving up$/);
    expect(failure.message.length).toBeLessThan(4500);
  });

  it('fails when the command is killed by a signal', async () => {
    const reading = buffer(
      node("process.stdout.write('x', () => process.kill(process.pid, 'SIGKILL'))").read(newReading().context),
    );
    await expect(reading).rejects.toMatchObject({ kind: 'failed', message: expect.stringContaining('SIGKILL') });
  });

  it('fails when the command succeeds and writes nothing', async () => {
    const reading = buffer(node("process.stderr.write('nothing to dump')").read(newReading().context));
    await expect(reading).rejects.toMatchObject({ message: expect.stringMatching(/wrote nothing.*nothing to dump/) });
  });

  it.each(['no-such-program', './no-program'])(
    'says that %s is none, as an error of the configuration',
    async (program) => {
      await writeFile(join(folder, 'no-program'), 'text', { mode: 0o600 });
      const source = openSource({ kind: 'command', command: [program], timeout: 60 }, folder, []);
      const reading = buffer(source.read(newReading().context));
      await expect(reading).rejects.toMatchObject({ kind: 'config', message: expect.stringContaining(program) });
    },
  );

  it('may pass when the command fails, and not when there is no such program', async () => {
    const failureOf = (...command: [string, ...string[]]) =>
      buffer(openSource({ kind: 'command', command, timeout: 60 }, folder, []).read(newReading().context));
    const mayPass = { kind: 'failed', retryable: true };
    await expect(failureOf('false')).rejects.toMatchObject(mayPass);
    await expect(failureOf('sh', '-c', 'kill -KILL $$')).rejects.toMatchObject(mayPass);
    await expect(failureOf('no-such-program')).rejects.toMatchObject({ kind: 'config', retryable: false });
  });

  it('stops the command, and the processes it started, when the time is up', async () => {
    const child = JSON.stringify(`${notePid} setInterval(() => {}, 1000); process.stdout.write('x')`);
    const script = `${notePid} require('child_process').spawn(process.execPath, ['-e', ${child}], { stdio: 'inherit' });
      setInterval(() => {}, 1000)`;
    const { context, clock } = newReading();
    const stream = node(script, 30).read(context)[Symbol.asyncIterator]();
    await stream.next();
    const end = stream.next();
    end.catch(() => {});
    await clock.advance(29_999);
    expect(await Promise.race([end, setImmediate('still running')])).toBe('still running');
    await clock.advance(1);
    await expect(end).rejects.toMatchObject({
      kind: 'timeout',
      retryable: false,
      message: expect.stringContaining('30 s'),
    });
    await everyoneGone();
    expect(clock.pending()).toBe(0);
  });

  it('kills a command that ignores SIGTERM five seconds later', async () => {
    const { context, clock, abort } = newReading();
    const script = `${notePid} process.on('SIGTERM', () => process.stdout.write('!')); setInterval(() => {}, 1000);
      process.stdout.write('x')`;
    const stream = node(script).read(context)[Symbol.asyncIterator]();
    await stream.next();
    abort();
    expect(Buffer.from((await stream.next()).value ?? []).toString()).toBe('!');
    const end = stream.next();
    end.catch(() => {});
    await clock.advance(5000);
    await expect(end).rejects.toMatchObject({ kind: 'interrupted' });
    await everyoneGone();
  });

  it('says that it cannot be started where no more files can be opened, and does no harm to the node', async () => {
    const bundle = await rolldown({ input: join(import.meta.dirname, '../../../src/node/sources/command.ts') });
    await bundle.write({ file: join(folder, 'command.mjs') });
    await bundle.close();
    await writeFile(
      join(folder, 'crowded.mjs'),
      `import { openSync } from 'node:fs';
      import { commandSource } from './command.mjs';
      const context = { signal: new AbortController().signal, clock: { after: () => () => {} }, warn() {} };
      const source = commandSource({ kind: 'command', command: ['true'], timeout: 60 }, '/');
      try { for (;;) openSync('/dev/null'); } catch {}
      const failure = await source.read(context).next().catch((error) => error);
      setImmediate(() => process.stdout.write(failure.kind + ': ' + failure.message));`,
    );
    const crowded = ['-c', 'ulimit -n 64; exec "$0" crowded.mjs', process.execPath];
    const said = execFileSync('sh', crowded, { cwd: folder, encoding: 'utf8' });
    expect(said).toMatch(/^failed: command true: cannot be started: .*EMFILE/);
  });

  it.each([
    [0, 'data'],
    [4, expect.stringMatching(/exit code 4: connection refused$/)],
  ])(
    'that ends with %i is judged by that, also when what it started holds its standard error',
    async (code, outcome) => {
      const script = `const stdio = ['ignore', 'ignore', 'inherit'];
      const child = require('child_process').spawn('sleep', ['600'], { stdio });
      child.unref();
      require('fs').writeFileSync('pids', String(child.pid));
      process.stderr.write('connection refused');
      process.stdout.write('data');
      require('fs').writeFileSync('command', String(process.pid));
      process.exitCode = ${code}`;
      const { context, clock } = newReading();
      const reading = buffer(node(script, 3600).read(context)).then(String, (failure: Error) => failure.message);
      let pid = '';
      while (pid === '') pid = await readFile(join(folder, 'command'), 'utf8').catch(() => setImmediate(''));
      try {
        await gone(Number(pid));
        expect(await clock.runUntil(reading)).toEqual(outcome);
        expect(clock.pending()).toBe(0);
      } finally {
        process.kill(Number(await readFile(join(folder, 'pids'), 'utf8')), 'SIGKILL');
        await everyoneGone();
      }
    },
  );

  it('does not wait for a process that left the group, holds the output open, and outlives the command', async () => {
    const child = JSON.stringify(`${notePid} setInterval(() => {}, 1000); process.stdout.write('x')`);
    const script = `require('child_process')
      .spawn(process.execPath, ['-e', ${child}], { detached: true, stdio: ['ignore', 'inherit', 'ignore'] }).unref();
      process.stdout.write(process.pid + ' ')`;
    const { context, clock } = newReading();
    const stream = node(script, 30).read(context)[Symbol.asyncIterator]();
    let output = '';
    while (!output.endsWith('x')) output += Buffer.from((await stream.next()).value ?? []).toString();
    // The command is collected, so that nothing is left of its group.
    while (existsSync(`/proc/${Number.parseInt(output, 10)}`)) await setImmediate();
    let failure: unknown;
    const end = stream.next().catch((thrown: unknown) => {
      failure = thrown;
    });
    try {
      await clock.advance(30_000);
      expect(clock.pending()).toBe(1);
      await clock.advance(5000);
      await end;
      expect(failure).toMatchObject({ kind: 'timeout', message: expect.stringContaining('30 s') });
    } finally {
      process.kill(Number(await readFile(join(folder, 'pids'), 'utf8')), 'SIGKILL');
      await everyoneGone();
    }
  });
});
