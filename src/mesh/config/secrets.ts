import { spawn } from 'node:child_process';
import { open } from 'node:fs/promises';
import { Failure } from '../terms/failure.js';
import { shellWord } from '../terms/shell-word.js';

/** No key or password is longer, so reading ends here. */
const longestSecret = 65_536;

/**
 * The secret in a file, without the newline at its end. `warn` is told when others may read the file
 * than its owner and the user who does.
 * @throws Failure `config` when the file is missing, empty or too long; the secret is in no message
 */
export async function readSecretFile(file: string, warn: (message: string) => void): Promise<string> {
  let handle: Awaited<ReturnType<typeof open>> | undefined;
  try {
    handle = await open(file, 'r');
    const { mode, uid } = await handle.stat();
    // What belongs to another user, such as root, this one can only read through its group.
    const others = uid === process.geteuid?.() ? 0o077 : 0o037;
    if ((mode & others) !== 0)
      warn(`${file} can be read by others than its owner: run \`chmod 600 ${shellWord(file)}\``);
    return await readSecretStream(handle.createReadStream({ autoClose: false }), file);
  } catch (thrown) {
    if (thrown instanceof Failure) throw thrown;
    throw new Failure('config', `the secret in ${file} cannot be read: ${(thrown as Error).message}`, {
      cause: thrown,
    });
  } finally {
    await handle?.close();
  }
}

/**
 * The secret that a command for `sh -c` writes to standard output. It may ask questions: standard input and standard error
 * are the caller's own.
 * @throws Failure `config` when it cannot be run, fails, or says nothing; `interrupted` when the signal aborts
 */
export async function readSecretCommand(command: string, signal?: AbortSignal): Promise<string> {
  const child = spawn('sh', ['-c', command], { stdio: ['inherit', 'pipe', 'inherit'], signal });
  const what = 'the command that shows the secret';
  const ended = new Promise<void>((resolve, reject) => {
    child.once('error', (error) => {
      reject(error.name === 'AbortError' ? error : new Failure('config', `${what} cannot be run: ${error.message}`));
    });
    child.once('close', (code, killed) => {
      if (code === 0) resolve();
      else reject(new Failure('config', `${what} ended with ${killed ?? `exit code ${code}`}`));
    });
  });
  const [output, end] = await Promise.allSettled([readAll(child.stdout, what), ended]);
  if (end.status === 'rejected' && output.status === 'fulfilled') throw Failure.from(end.reason);
  if (output.status === 'rejected') throw Failure.from(output.reason);
  return secretIn(output.value, what);
}

/**
 * The secret that a stream, such as standard input, carries up to its end.
 * @param name what messages call the stream
 * @throws Failure `config` when there is nothing in it, or too much
 */
export async function readSecretStream(stream: AsyncIterable<Uint8Array | string>, name: string): Promise<string> {
  return secretIn(await readAll(stream, name), name);
}

/**
 * The secret that the environment names: `<NAME>_FILE`, a file, or `<NAME>_COMMAND`, a command for `sh -c`.
 * @param name such as `ANEMONE_RECOVERY_KEY`
 * @returns undefined when it names none
 * @throws Failure `usage` when it names both; `config` when the secret cannot be read
 */
export async function readSecretFromEnvironment(
  name: string,
  env: NodeJS.ProcessEnv,
  warn: (message: string) => void,
  signal?: AbortSignal,
): Promise<string | undefined> {
  const file = env[`${name}_FILE`] || undefined;
  const command = env[`${name}_COMMAND`] || undefined;
  if (file !== undefined && command !== undefined) {
    throw new Failure('usage', `${name}_FILE and ${name}_COMMAND are both set`, { hint: 'Unset one of them.' });
  }
  if (file !== undefined) return readSecretFile(file, warn);
  return command === undefined ? undefined : readSecretCommand(command, signal);
}

async function readAll(stream: AsyncIterable<Uint8Array | string>, name: string): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of stream) {
    length += chunk.length;
    if (length > longestSecret)
      throw new Failure('config', `${name} gives more than ${longestSecret} bytes: no secret`);
    chunks.push(Buffer.from(chunk));
  }
  return Buffer.concat(chunks);
}

function secretIn(bytes: Buffer, name: string): string {
  const secret = bytes.toString('utf8').replace(/\r?\n$/, '');
  if (secret.trim() === '') throw new Failure('config', `${name} gives no secret: it is empty`);
  return secret;
}
