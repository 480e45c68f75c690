/** Controls (C0, DEL, C1), invisible and bidirectional formatting, halves of surrogate pairs, line separators. */
const unprintable = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;

/**
 * Text from elsewhere, made safe for a terminal and for one line: whatever is unprintable becomes its escape (`\x1b`,
 * `\u202e`), and what is longer than `limit` UTF-16 units ends in `…`.
 */
export function printable(text: string, limit = 2000): string {
  const cut = text.length > limit ? `${text.slice(0, limit - 1)}…` : text;
  return cut.replace(unprintable, (character) => {
    const code = character.codePointAt(0) ?? 0;
    if (code < 0x100) return `\\x${code.toString(16).padStart(2, '0')}`;
    return code < 0x10000 ? `\\u${code.toString(16).padStart(4, '0')}` : `\\u{${code.toString(16)}}`;
  });
}

/** JSON for a screen or a program: what is unprintable in its strings is escaped as JSON does it, so it reads back the same. */
export function printableJson(document: unknown, indent = 0): string {
  // A line break is one of the indent: JSON has escaped those of strings.
  return JSON.stringify(document, null, indent).replace(unprintable, (character) => {
    if (character === '\n') return character;
    const units = character.split('').map((unit) => unit.charCodeAt(0));
    return units.map((unit) => `\\u${unit.toString(16).padStart(4, '0')}`).join('');
  });
}

const ageKey = /AGE-SECRET-KEY-[0-9A-Z-]+/gi;
/** 58 characters of Crockford's base32, with or without one separator between any two, as whole words. */
const recoveryKey = /(?<![0-9A-Za-z])[0-9A-TV-Za-tv-z](?:[-\s]?[0-9A-TV-Za-tv-z]){57}(?![0-9A-Za-z])/g;
/** A key of 58 random characters has fewer digits than this once in a million; a sentence of that length has none. */
const fewestDigits = 4;

/** Replaces whatever looks like a recovery key or an age secret key by `[secret]`. */
export function redactSecrets(text: string): string {
  return text
    .replace(ageKey, '[secret]')
    .replace(recoveryKey, (found) => (found.replace(/\D/g, '').length < fewestDigits ? found : '[secret]'));
}
