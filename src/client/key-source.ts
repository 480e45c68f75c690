import { readSecretFromEnvironment, readSecretStream } from '../mesh/config/secrets.js';
import { parseRecoveryKey, type RecoveryKey } from '../mesh/identity/recovery-key.js';
import { Failure } from '../mesh/terms/failure.js';
import type { Context } from './context.js';

export interface KeySourceOptions {
  /** `--key-stdin`: the key is what standard input carries up to its end. */
  readonly keyStdin?: boolean;
}

const instead = 'Give the key with ANEMONE_RECOVERY_KEY_FILE, ANEMONE_RECOVERY_KEY_COMMAND or --key-stdin.';

/**
 * The text of a key, from standard input, the environment, or the person at the terminal; never from an argument, which
 * every user of the machine could read.
 * @throws Failure `usage` when there is nobody to ask and nothing else was given
 */
export async function readKeyText(
  context: Pick<Context, 'env' | 'prompts' | 'screen' | 'signal' | 'stdin'>,
  question: string,
  { keyStdin = false }: KeySourceOptions,
): Promise<string> {
  if (keyStdin) return readSecretStream(context.stdin, 'standard input');
  const { env, screen, signal } = context;
  const given = await readSecretFromEnvironment('ANEMONE_RECOVERY_KEY', env, screen.warn, signal);
  return given ?? context.prompts.secret(question, instead);
}

/**
 * The recovery key of a server. A person who mistypes it is told what is wrong and asked again.
 * @throws Failure `wrong-key` when what a file, a command or standard input gave is no recovery key
 */
export async function readRecoveryKey(
  context: Pick<Context, 'env' | 'prompts' | 'screen' | 'signal' | 'stdin'>,
  options: KeySourceOptions,
): Promise<RecoveryKey> {
  const { env, prompts, screen } = context;
  const given = options.keyStdin || env['ANEMONE_RECOVERY_KEY_FILE'] || env['ANEMONE_RECOVERY_KEY_COMMAND'];
  while (true) {
    const text = await readKeyText(context, 'Recovery key:', options);
    try {
      return parseRecoveryKey(text);
    } catch (thrown) {
      if (given || !prompts.interactive || !(thrown instanceof Failure)) throw thrown;
      screen.warn(`${thrown.message}. ${thrown.hint ?? ''}`);
    }
  }
}
