import { readSecretFromEnvironment, readSecretStream } from '../../mesh/config/secrets.js';
import { type DerivedKeys, deriveKeys, parseRecoveryKey } from '../../mesh/identity/recovery-key.js';
import { Failure } from '../../mesh/terms/failure.js';
import type { Context } from '../context.js';

/** Where the keys of a restore come from: standard input, the environment, or the person at the terminal. */
export interface Keys {
  /**
   * @param accept throws Failure `wrong-key` for the key of another server: a person is asked again then
   * @throws Failure `wrong-key` for what is no recovery key; `usage` when nobody can be asked
   */
  recoveryKey(accept?: (keys: DerivedKeys) => void): Promise<DerivedKeys>;
  /** A recovery key, or an age secret key, for a backup that somebody else may have sealed. */
  openingKey(): Promise<{ readonly derived: DerivedKeys | null; readonly ageIdentity: string }>;
  /** The key text of the format anemone-cbc1. */
  resticKey(): Promise<string>;
  passphrase(): Promise<string>;
}

type Kind = 'RECOVERY_KEY' | 'RESTIC_KEY' | 'PASSPHRASE';

const questions: Readonly<Record<Kind, string>> = {
  RECOVERY_KEY: 'Recovery key',
  RESTIC_KEY: 'Restic key',
  PASSPHRASE: 'Passphrase',
};

/** How often a person may type a recovery key before the restore ends. */
const attempts = 3;

/** @param fromStdin `--key-stdin`: one key a line, in the order in which they are needed */
export function keysFrom(
  context: Pick<Context, 'env' | 'prompts' | 'screen' | 'signal' | 'stdin'>,
  fromStdin: boolean,
): Keys {
  const { env, prompts, screen, signal } = context;
  let lines: Promise<string[]> | undefined;
  const given = async (kind: Kind): Promise<string | undefined> => {
    if (!fromStdin) return readSecretFromEnvironment(`ANEMONE_${kind}`, env, screen.warn, signal);
    lines ??= readSecretStream(context.stdin, 'standard input').then((text) => text.split(/\r?\n/));
    const line = (await lines).shift();
    if (line === undefined) throw new Failure('usage', `standard input has no line with the ${questions[kind]}`);
    return line;
  };
  const secret = async (kind: Kind): Promise<string> => {
    const instead = `Give it with --key-stdin, ANEMONE_${kind}_FILE or ANEMONE_${kind}_COMMAND.`;
    return (await given(kind)) ?? prompts.secret(`${questions[kind]}:`, instead);
  };
  const typed = async <T>(read: (text: string) => T): Promise<T> => {
    for (let attempt = 1; ; attempt += 1) {
      const known = await given('RECOVERY_KEY');
      const text = known ?? (await secret('RECOVERY_KEY'));
      try {
        return read(text);
      } catch (thrown) {
        const { kind, message, hint } = Failure.from(thrown);
        if (kind !== 'wrong-key' || known !== undefined || attempt === attempts) throw thrown;
        screen.warn(`${message}. ${hint ?? ''}`);
      }
    }
  };
  return {
    recoveryKey: (accept) =>
      typed((text) => {
        const derived = deriveKeys(parseRecoveryKey(text));
        accept?.(derived);
        return derived;
      }),
    openingKey: () =>
      typed((text) => {
        if (/^\s*AGE-SECRET-KEY-/i.test(text)) return { derived: null, ageIdentity: text.trim().toUpperCase() };
        const derived = deriveKeys(parseRecoveryKey(text));
        return { derived, ageIdentity: derived.ageIdentity };
      }),
    resticKey: () => secret('RESTIC_KEY'),
    passphrase: () => secret('PASSPHRASE'),
  };
}
