import { readSecretFromEnvironment, readSecretStream } from '../../../mesh/config/secrets.js';
import type { Identity } from '../../../mesh/identity/identity.js';
import { type DerivedKeys, deriveKeys, missingFromKey, parseRecoveryKey } from '../../../mesh/identity/recovery-key.js';
import { Failure } from '../../../mesh/terms/failure.js';
import type { Context } from '../../session/context.js';

/** Where the keys of a restore come from: standard input, the environment, or the person at the terminal. */
export interface Keys {
  /**
   * @param accept throws Failure `wrong-key` for the key of another server: a person is asked again then
   * @throws Failure `wrong-key` for what is no recovery key; `usage` when nobody can be asked
   */
  recoveryKey(accept?: (keys: DerivedKeys) => void): Promise<DerivedKeys>;
  /** A recovery key, or an age secret key, for a backup that somebody else may have sealed. */
  openingKey(): Promise<{ readonly derived: DerivedKeys | null; readonly ageIdentity: string }>;
  /**
   * A key of the same kinds for a backup that the one given before does not open.
   * @param why it does not, which a person is told
   * @returns null when nothing gives one, and nobody can be asked
   */
  otherKey(why: string): Promise<{ readonly ageIdentity: string } | null>;
  /** The key text of the format anemone-cbc1. */
  resticKey(): Promise<string>;
  passphrase(): Promise<string>;
}

type Kind = 'RECOVERY_KEY' | 'AGE_KEY' | 'RESTIC_KEY' | 'PASSPHRASE';

const questions: Readonly<Record<Kind, string>> = {
  RECOVERY_KEY: 'Recovery key',
  AGE_KEY: 'Key of a recipient',
  RESTIC_KEY: 'Restic key',
  PASSPHRASE: 'Passphrase',
};

/** How often a person may type a recovery key before the restore ends. */
const attempts = 3;

/** @param fromStdin `--key-stdin`: one key a line, in the order in which they are needed; a recovery key may have more than one */
export function keysFrom(
  context: Pick<Context, 'env' | 'prompts' | 'screen' | 'signal' | 'stdin'>,
  fromStdin: boolean,
): Keys {
  const { env, prompts, screen, signal } = context;
  let lines: Promise<string[]> | undefined;
  const given = async (kind: Kind): Promise<string | undefined> => {
    if (!fromStdin) return readSecretFromEnvironment(`ANEMONE_${kind}`, env, screen.warn, signal);
    lines ??= readSecretStream(context.stdin, 'standard input').then((text) => text.split(/\r?\n/));
    return kind === 'RECOVERY_KEY' || kind === 'AGE_KEY' ? takeKey(await lines) : (await lines).shift();
  };
  const ask = (kind: Kind, question = questions[kind]): Promise<string> => {
    if (fromStdin) throw new Failure('usage', `standard input has no line with the ${questions[kind]}`);
    const instead = `Give it with --key-stdin, ANEMONE_${kind}_FILE or ANEMONE_${kind}_COMMAND.`;
    return prompts.secret(`${question}:`, instead);
  };
  const askKey = async (kind: Kind): Promise<string> => {
    const answer = await ask(kind);
    // A paste may come in pieces, of which the first ends anywhere.
    const isCut = /-\s*$|\n/.test(answer) && isBeginning(answer);
    const all = isCut ? `${answer}\n${await ask(kind, 'The rest of the key')}` : answer;
    return takeKey(all.split('\n')) ?? '';
  };
  const secret = async (kind: Kind): Promise<string> => (await given(kind)) ?? (await ask(kind)).replace(/\n.*/s, '');
  const typed = async <T>(read: (text: string) => T, kind: Kind = 'RECOVERY_KEY'): Promise<T> => {
    const known = await given(kind);
    for (let attempt = 1; ; attempt += 1) {
      const text = known ?? (await askKey(kind));
      try {
        return read(text);
      } catch (thrown) {
        const { kind: what, message, hint } = Failure.from(thrown);
        if (what !== 'wrong-key' || known !== undefined || attempt === attempts) throw thrown;
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
    openingKey: () => typed(readKey),
    async otherKey(why) {
      const known = await given('AGE_KEY');
      if (known !== undefined) return readKey(known);
      if (fromStdin || !prompts.interactive) return null;
      screen.warn(why);
      return typed(readKey, 'AGE_KEY');
    },
    resticKey: () => secret('RESTIC_KEY'),
    passphrase: () => secret('PASSPHRASE'),
  };
}

/** Takes one key from the front of the lines: a recovery key may have been kept on more than one. */
function takeKey(lines: string[]): string | undefined {
  let key = lines.shift();
  while (key !== undefined && isBeginning(key) && lines.length > 0 && missingFromKey(`${key}${lines[0]}`) !== null) {
    key += lines.shift() ?? '';
  }
  return key;
}

/** Whether this may be a recovery key of which the end is missing. */
function isBeginning(text: string): boolean {
  return (missingFromKey(text) ?? 0) > 0;
}

/**
 * @param known who has that identity, in words
 * @throws Failure `wrong-key` when it is the key of another server
 */
export function checkOwner(given: DerivedKeys, identity: Identity | undefined, known: string): void {
  if (given.identity === identity) return;
  throw new Failure('wrong-key', `this is the recovery key of another server: ${known}`, {
    hint: `The key given is the one of ${given.identity}.`,
  });
}

/** A recovery key, or an age secret key. @throws Failure `wrong-key` */
function readKey(text: string): { readonly derived: DerivedKeys | null; readonly ageIdentity: string } {
  if (/^\s*AGE-SECRET-KEY-/i.test(text)) return { derived: null, ageIdentity: text.trim().toUpperCase() };
  const derived = deriveKeys(parseRecoveryKey(text));
  return { derived, ageIdentity: derived.ageIdentity };
}
