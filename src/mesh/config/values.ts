import { bech32 } from '@scure/base';
import { Cron } from 'croner';
import { distance } from 'fastest-levenshtein';
import * as v from 'valibot';
import { parseIdentity } from '../identity/identity.js';
import { parseAddress } from '../terms/address.js';
import { parseByteSize } from '../terms/byte-size.js';
import { checkPattern } from '../terms/check-pattern.js';
import { printable, redactSecrets } from '../terms/clean-text.js';
import { Failure } from '../terms/failure.js';
import { parseHostname } from '../terms/hostname.js';
import { parseDuration } from './duration.js';
import { parseUploadLimit } from './upload-limit.js';

/** A schema for one value: `read` turns what YAML gave into what the program uses, or throws a Failure that says why not. */
function value<T>(read: (raw: unknown) => T) {
  return v.pipe(
    v.unknown(),
    v.rawTransform<unknown, T>(({ dataset, addIssue, NEVER }) => {
      try {
        return read(dataset.value);
      } catch (thrown) {
        addIssue({ message: explain(Failure.from(thrown)) });
        return NEVER;
      }
    }),
  );
}

/** What is wrong, and the fix, as the rest of a line that began with a key. */
export function explain(failure: Failure): string {
  return failure.hint === undefined ? failure.message : `${failure.message}. ${failure.hint}`;
}

/** A value as a message may show it: short, printable, and never a secret that was put in the wrong place. */
export function quote(raw: unknown): string {
  if (raw === null || raw === undefined) return 'nothing';
  if (Array.isArray(raw)) return 'a list';
  if (typeof raw === 'object') return 'a mapping';
  if (typeof raw === 'string') return JSON.stringify(printable(redactSecrets(raw.slice(0, 200)), 80));
  return `the ${typeof raw} ${String(raw)}`;
}

/** The word of `known` that someone who wrote `word` most likely meant, as a question; undefined when none is near. */
export function didYouMean(word: string, known: readonly string[]): string | undefined {
  const lower = word.toLowerCase();
  let best: string | undefined;
  let least = Math.max(2, Math.floor(word.length / 2)) + 1;
  for (const candidate of word.length > 100 ? [] : known) {
    const steps = distance(lower, candidate.toLowerCase());
    if (steps < least) [best, least] = [candidate, steps];
  }
  return best === undefined ? undefined : `Did you mean ${best}?`;
}

function asText(raw: unknown, what: string): string {
  if (typeof raw === 'string' && raw.trim() !== '') return raw;
  if (raw === null || raw === '') throw new Failure('config', `has no value; it is ${what}`);
  throw new Failure('config', `is ${quote(raw)}; it is ${what}`, {
    hint: typeof raw === 'number' || typeof raw === 'boolean' ? 'Put it in quotes to make it text.' : undefined,
  });
}

function asTextOrNumber(raw: unknown, what: string): string | number {
  return typeof raw === 'number' ? raw : asText(raw, what);
}

export const text = (what: string) => value((raw) => asText(raw, what));

export const hostname = value((raw) => parseHostname(asText(raw, 'the name of a server, such as FR1')));
export const size = value((raw) => parseByteSize(asTextOrNumber(raw, 'a size, such as 10GB')));
export const uploadLimit = value((raw) =>
  parseUploadLimit(asTextOrNumber(raw, 'a size, such as 5MB, or a time table')),
);
export const duration = value((raw) => parseDuration(asTextOrNumber(raw, 'a duration, such as 5m')));
/** How long something may take. Elsewhere 0 means no limit; here there must be one, or it would hold up every night. */
export const timeout = value((raw) => {
  const seconds = parseDuration(asTextOrNumber(raw, 'a duration, such as 5m'));
  if (seconds > 0) return seconds;
  throw new Failure('config', 'is 0, so that it would end before it began', { hint: 'Write a duration, such as 5m.' });
});
export const address = value((raw) => parseAddress(asText(raw, 'an address, such as 10.8.0.1:7443')));

export const count = value((raw) => {
  if (typeof raw === 'number' && Number.isSafeInteger(raw) && raw >= 0) return raw;
  throw new Failure('config', `is ${quote(raw)}; it is a whole number, 0 or more`);
});

export const flag = value((raw) => {
  if (typeof raw === 'boolean') return raw;
  throw new Failure('config', `is ${quote(raw)}; it is true or false, without quotes`);
});

export function oneOf<T extends string>(...words: readonly [T, ...T[]]) {
  return value((raw): T => {
    const found = words.find((word) => word === raw);
    if (found !== undefined) return found;
    throw new Failure('config', `is ${quote(raw)}; it is ${words.map((word) => `\`${word}\``).join(' or ')}`);
  });
}

export const path = value((raw) => {
  const written = asText(raw, 'a path');
  if (written.startsWith('~')) {
    throw new Failure('config', `${quote(written)} begins with ~, which only a shell replaces. Write the whole path`);
  }
  if (written.includes('\0')) throw new Failure('config', `${quote(written)} is not a path`);
  return written;
});

/** A pattern in the manner of .gitignore; only what it is compiled with knows all of them, and that takes 20 ms to load. */
export const pattern = value((raw) => {
  const written = asText(raw, 'a pattern, such as "*.tmp"');
  checkPattern(written);
  return written;
});

export const identity = value((raw) =>
  parseIdentity(asText(raw, 'the 44 characters that `anemone-peer identity` shows on that server')),
);

/** The public half of an age X25519 key. Its checksum is tested here, so that a mistyped one is found before the night. */
export const recipient = value((raw) => {
  const written = asText(raw, 'a public age key, age1…');
  if (/^AGE-SECRET-KEY-/i.test(written)) {
    throw new Failure('config', 'is a SECRET age key. Remove it from this file, and write the public one, age1…');
  }
  const decoded = bech32.decodeUnsafe(written, 128);
  // Bech32 may be in capitals, but age takes no such key.
  if (written.startsWith('age1') && decoded?.prefix === 'age' && bech32.fromWordsUnsafe(decoded.words)?.length === 32)
    return written;
  throw new Failure('config', `${quote(written)} is not a public age key, or is mistyped`, {
    hint: 'A public age key is age1 and 58 more characters.',
  });
});

export const timezone = value((raw) => {
  const zone = asText(raw, 'the name of a time zone, such as Europe/Paris');
  try {
    if (!/^[A-Za-z]/.test(zone)) throw new RangeError(zone);
    // The list is read at once; a formatter, which knows other names too, first loads 20 ms of tables.
    if (zone === 'UTC' || Intl.supportedValuesOf('timeZone').includes(zone)) return zone;
    new Intl.DateTimeFormat('en', { timeZone: zone });
    return zone;
  } catch {
    throw new Failure('config', `${quote(zone)} is not a time zone`, {
      hint: didYouMean(zone, Intl.supportedValuesOf('timeZone')) ?? 'Write a name such as Europe/Paris or UTC.',
    });
  }
});

/** A cron pattern of five fields, or six with seconds first; null for the word `never`. */
export const schedule = value((raw) => {
  const pattern = asText(raw, 'a cron pattern such as "0 2 * * *", or `never`');
  if (pattern === 'never') return null;
  let comes: boolean;
  try {
    comes = new Cron(pattern, { paused: true, utcOffset: 0, mode: '5-or-6-parts' }).nextRun() !== null;
  } catch (thrown) {
    const reason = (thrown instanceof Error ? thrown.message : '').replace(/^CronPattern: /, '').replace(/\.$/, '');
    throw new Failure('config', `${quote(pattern)} is not a cron pattern (${printable(reason, 160)})`, {
      hint: 'Write minute, hour, day, month and weekday, such as "0 2 * * *" for every night at two, or `never`.',
    });
  }
  if (!comes) throw new Failure('config', `${quote(pattern)} names a moment that never comes`);
  return pattern;
});

export const url = value((raw) => {
  const written = asText(raw, 'an address that begins with http:// or https://');
  const parsed = URL.canParse(written) ? new URL(written) : undefined;
  if (parsed?.protocol !== 'http:' && parsed?.protocol !== 'https:') {
    throw new Failure('config', 'is not an address that begins with http:// or https://');
  }
  if (parsed.username !== '' || parsed.password !== '') {
    throw new Failure('config', 'carries a user or password. Write what goes into the Authorization header to a file', {
      hint: 'Name that file with credentials_file.',
    });
  }
  return written;
});
