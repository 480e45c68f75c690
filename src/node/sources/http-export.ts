import { get as getHttp, type IncomingMessage } from 'node:http';
import { get as getHttps } from 'node:https';
import type { SourceConfig } from '../../mesh/config/config.js';
import { readSecretFile } from '../../mesh/config/secrets.js';
import { plainHeadSize, plaintextKind } from '../../mesh/envelope/looks-plain.js';
import { peek } from '../../mesh/envelope/peek.js';
import { Failure } from '../../mesh/terms/failure.js';
import type { Source, SourceContext } from './source.js';

type UrlConfig = Extract<SourceConfig, { kind: 'url' }>;

/**
 * The body of an HTTP export, as it is. Everything that is not certainly a whole export is refused: another status than
 * 200, a redirect, an empty or cut body, an HTML page.
 */
export function httpExportSource(config: UrlConfig): Source {
  return { read: (context) => download(config, context) };
}

async function* download(config: UrlConfig, context: SourceContext): AsyncGenerator<Uint8Array> {
  const url = new URL(config.url);
  // Neither a password nor a token of the query belongs into a message.
  const shown = `${url.origin}${url.pathname}`;
  const authorization = await readCredentials(config.credentialsFile, context.remark);
  const connection = new AbortController();
  const signal = AbortSignal.any([context.signal, connection.signal]);
  const patiently = patience(context, config.timeout, () => connection.abort(silence(shown, config.timeout)));
  try {
    const response = await patiently(request(url, authorization, signal));
    checkHead(response, shown);
    if (response.headers['content-length'] === undefined && response.headers['transfer-encoding'] === undefined) {
      context.warn(`${shown} does not say how long its export is: a cut would look like the end`);
    }
    const body = await peek(wholeBody(response, shown, patiently), plainHeadSize);
    if (plaintextKind(body.head) === 'HTML') throw page(shown);
    yield* body.from(0);
  } catch (error) {
    if (context.signal.aborted) throw new Failure('interrupted', `${shown}: interrupted`, { cause: error });
    throw connection.signal.aborted ? connection.signal.reason : explain(error, shown);
  } finally {
    connection.abort();
  }
}

type Patiently = <T>(waiting: Promise<T>) => Promise<T>;

async function* wholeBody(response: IncomingMessage, shown: string, patiently: Patiently): AsyncGenerator<Uint8Array> {
  const promised = Number(response.headers['content-length'] ?? Number.NaN);
  const chunks: AsyncIterator<Buffer> = response[Symbol.asyncIterator]();
  let received = 0;
  for (;;) {
    const { done, value } = await patiently(chunks.next());
    if (done === true) break;
    received += value.length;
    yield value;
  }
  if (received === 0) throw new Failure('failed', `${shown}: the export is empty`);
  if (!response.complete || (!Number.isNaN(promised) && received !== promised)) {
    throw new Failure('failed', `${shown}: the export ended early, after ${received} bytes`, { retryable: true });
  }
}

/** @throws Failure when the answer is not an export, whatever its body may say */
function checkHead(response: IncomingMessage, shown: string): void {
  const status = response.statusCode ?? 0;
  if (status >= 300 && status < 400) {
    throw new Failure('failed', `${shown}: redirects elsewhere (HTTP ${status}), which is not followed`, {
      hint: 'Write the final address as `url` of this set.',
    });
  }
  if (status !== 200) {
    throw new Failure('failed', `${shown}: answered HTTP ${status} instead of 200`, {
      retryable: status >= 500 || status === 429,
      hint: status === 401 || status === 403 ? 'Check `credentials_file` of this set.' : undefined,
    });
  }
  if (/^\s*(?:text\/html|application\/xhtml)/i.test(response.headers['content-type'] ?? '')) throw page(shown);
  const encoding = response.headers['content-encoding'] ?? 'identity';
  if (encoding !== 'identity') {
    throw new Failure('failed', `${shown}: sends a content encoding that was not asked for`);
  }
}

function page(shown: string): Failure {
  return new Failure('failed', `${shown}: sends an HTML page instead of an export`, {
    hint: 'Often this is a login or error page: check `url` and `credentials_file` of this set.',
  });
}

function request(url: URL, authorization: string | null, signal: AbortSignal): Promise<IncomingMessage> {
  const get = url.protocol === 'https:' ? getHttps : getHttp;
  const headers = {
    accept: '*/*',
    'accept-encoding': 'identity',
    ...(authorization === null ? {} : { authorization }),
  };
  return new Promise((resolve, reject) => {
    get(url, { agent: false, headers, signal }, resolve).on('error', reject);
  });
}

/** Waits at most `seconds` for one step of the download; the time that the reader of the stream takes does not count. */
function patience({ clock }: SourceContext, seconds: number, giveUp: () => void): Patiently {
  return async (waiting) => {
    const cancel = clock.after(seconds * 1000, giveUp);
    try {
      return await waiting;
    } finally {
      cancel();
    }
  };
}

function silence(shown: string, seconds: number): Failure {
  return new Failure('timeout', `${shown}: sent nothing for ${seconds} s`);
}

function explain(error: unknown, shown: string): Failure {
  if (error instanceof Failure) return error;
  const { code, message } = error as NodeJS.ErrnoException;
  const what = code === 'ECONNRESET' ? 'the connection was cut before the end of the export' : message || code;
  return new Failure('failed', `${shown}: ${what}`, { cause: error, retryable: true });
}

async function readCredentials(file: string | null, remark: (message: string) => void): Promise<string | null> {
  if (file === null) return null;
  const text = (await readSecretFile(file, remark)).trim();
  if (!/^[\x20-\x7e]+$/.test(text)) {
    throw new Failure('config', `credentials_file: ${file} must hold one line, the value of the Authorization header`);
  }
  return text;
}
