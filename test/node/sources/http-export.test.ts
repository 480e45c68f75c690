import { chmod, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { setImmediate } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openSource } from '../../../src/node/sources/open-source.js';
import type { Source } from '../../../src/node/sources/source.js';
import { newReading, sourceContract } from '../../contracts/source.contract.js';
import { temporaryFolder } from '../../support/temporary-folder.js';

type Answer = (response: ServerResponse, request: IncomingMessage) => void;

let server: Server;
let base: string;
let answer: Answer;

async function listen(): Promise<void> {
  server = createServer((request, response) => answer(response, request));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

async function close(): Promise<void> {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
}

const ciphertext = Buffer.from(Array.from({ length: 4000 }, (_, i) => (i * 197 + 3) % 256));

function source(path = '/export', credentialsFile: string | null = null): Source {
  return openSource({ kind: 'url', url: base + path, credentialsFile, timeout: 20 }, '/', []);
}

async function noConnections(): Promise<void> {
  while ((await new Promise<number>((resolve) => server.getConnections((_, count) => resolve(count)))) > 0) {
    await setImmediate();
  }
}

sourceContract('an HTTP export', async () => {
  await listen();
  answer = (response, request) => {
    if (request.url === '/good') response.setHeader('content-length', ciphertext.length).end(ciphertext);
    else if (request.url === '/broken') response.writeHead(500).end('no');
    else {
      const write = (): void => {
        while (!response.destroyed && response.write(ciphertext));
      };
      response.on('drain', write);
      write();
    }
  };
  return {
    good: source('/good'),
    long: source('/long'),
    broken: source('/broken'),
    released: noConnections,
    dispose: close,
  };
});

describe('an HTTP export as a source', () => {
  beforeEach(listen);
  afterEach(close);

  const refused: readonly [string, Answer, object][] = [
    [
      'a status that is not 200',
      (r) => r.writeHead(206).end(ciphertext),
      { message: expect.stringContaining('HTTP 206') },
    ],
    ['an error of the server, which may pass', (r) => r.writeHead(503).end('busy'), { retryable: true }],
    ['that it was asked too often, which may pass', (r) => r.writeHead(429).end('later'), { retryable: true }],
    [
      'a missing permission',
      (r) => r.writeHead(401).end('who?'),
      { retryable: false, hint: expect.stringContaining('credentials_file') },
    ],
    [
      'a redirect',
      (r) => r.writeHead(302, { location: 'http://elsewhere/' }).end(),
      { message: expect.stringContaining('redirect') },
    ],
    ['an empty body', (r) => r.end(), { message: expect.stringContaining('the export is empty') }],
    [
      'a body that ends before its length',
      (r) => {
        r.writeHead(200, { 'content-length': 5000 });
        r.write(ciphertext, () => r.destroy());
      },
      { message: expect.stringContaining('cut before the end'), retryable: true },
    ],
    ['a chunked body that is cut', (r) => void r.write(ciphertext, () => r.destroy()), { retryable: true }],
    [
      'an HTML page by its type',
      (r) => r.setHeader('content-type', 'text/html; charset=utf-8').end(ciphertext),
      { message: expect.stringContaining('HTML') },
    ],
    [
      'an HTML page by its beginning',
      (r) => r.end('\n <!DOCTYPE html><title>Login</title>'),
      { message: expect.stringContaining('HTML') },
    ],
    [
      'a content encoding that was not asked for',
      (r) => r.setHeader('content-encoding', 'gzip').end(ciphertext),
      { kind: 'failed' },
    ],
  ];
  it.each(refused)('refuses %s', async (_, behaviour, expected) => {
    answer = behaviour;
    const failure = await buffer(source().read(newReading().context)).catch((error) => error);
    expect(failure).toMatchObject({ name: 'Failure', kind: 'failed', ...expected });
  });

  it('passes nothing on before it has seen that the beginning is not a page', async () => {
    answer = (response) => {
      response.write('<ht');
      response.end('ml>nothing here');
    };
    await expect(source('/').read(newReading().context)[Symbol.asyncIterator]().next()).rejects.toThrow('HTML');
  });

  it('accepts any text that is no page, and asks for it as it is', async () => {
    answer = (response, { headers }) =>
      response.writeHead(headers['accept-encoding'] === 'identity' ? 200 : 406).end('{"some":"export"}');
    expect((await buffer(source('/').read(newReading().context))).toString()).toBe('{"some":"export"}');
  });

  it('gives up when no byte comes for the time allowed, and not while its reader is slow', async () => {
    answer = (response) => void response.write(ciphertext);
    const { context, clock } = newReading();
    const stream = source().read(context)[Symbol.asyncIterator]();
    expect((await stream.next()).value).toHaveLength(ciphertext.length);
    await clock.advance(3_600_000);
    const outcome = stream.next().catch((error) => error);
    await clock.advance(20_000);
    expect(await outcome).toMatchObject({ kind: 'timeout', message: expect.stringContaining('20 s') });
    expect(clock.pending()).toBe(0);
  });

  it('gives up when a server accepts the request and never answers', async () => {
    const { context, clock } = newReading();
    const asked = new Promise<void>((resolve) => {
      answer = () => resolve();
    });
    const next = source().read(context)[Symbol.asyncIterator]().next();
    const outcome = next.catch((error) => error);
    await asked;
    await clock.advance(20_000);
    expect(await outcome).toMatchObject({ kind: 'timeout' });
  });

  it('says that nothing listens there, and that it may pass', async () => {
    const unreachable = source();
    await close();
    const reading = buffer(unreachable.read(newReading().context));
    await expect(reading).rejects.toMatchObject({ retryable: true, message: expect.stringContaining('ECONNREFUSED') });
    await listen();
  });

  it('warns about an export without a length, which could be cut unnoticed', async () => {
    answer = (response) => {
      response.shouldKeepAlive = false;
      response.useChunkedEncodingByDefault = false;
      response.write(ciphertext);
      response.end();
    };
    const { context, warnings } = newReading();
    await buffer(source().read(context));
    expect(warnings).toEqual([expect.stringContaining('does not say how long')]);
  });

  it('keeps passwords and the query of the address out of its messages', async () => {
    answer = (response) => response.writeHead(404).end();
    const url = `${base.replace('http://', 'http://me:hunter2@')}/export?token=hunter2`;
    const secret = openSource({ kind: 'url', url, credentialsFile: null, timeout: 20 }, '/', []);
    const failure = await buffer(secret.read(newReading().context)).catch((error) => error);
    expect(failure.message).toContain('/export');
    expect(failure.message).not.toContain('hunter2');
  });
});

describe('the credentials of an HTTP export', () => {
  let folder: string;
  let file: string;
  beforeEach(async () => {
    await listen();
    folder = await temporaryFolder();
    file = join(folder, 'token');
    answer = (response, { headers }) =>
      headers.authorization === 'Bearer abc' ? response.end(ciphertext) : response.writeHead(403).end();
  });
  afterEach(async () => {
    await close();
  });

  it('come from a file and are sent as the Authorization header', async () => {
    await writeFile(file, 'Bearer abc\n', { mode: 0o600 });
    const { context, warnings } = newReading();
    expect((await buffer(source('/', file).read(context))).equals(ciphertext)).toBe(true);
    expect(warnings).toEqual([]);
  });

  it('are remarked on when every user can read them, and the export is whole all the same', async () => {
    await writeFile(file, 'Bearer abc\n');
    await chmod(file, 0o644);
    const { context, warnings, remarks } = newReading();
    await buffer(source('/', file).read(context));
    expect(remarks).toEqual([expect.stringContaining('chmod 600')]);
    expect(warnings).toEqual([]);
  });

  it.each([
    ['several lines', 'a\nb'],
    ['nothing', ' \n'],
  ])('must not hold %s', async (_, text) => {
    await writeFile(file, text, { mode: 0o600 });
    await expect(buffer(source('/', file).read(newReading().context))).rejects.toMatchObject({ kind: 'config' });
  });

  it('must exist', async () => {
    await expect(buffer(source('/', file).read(newReading().context))).rejects.toMatchObject({ kind: 'config' });
  });
});
