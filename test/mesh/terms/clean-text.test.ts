import { describe, expect, it } from 'vitest';
import { printable, redactSecrets } from '../../../src/mesh/terms/clean-text.js';

describe('printable text', () => {
  it.each([
    ['a newline', 'a\nb', 'a\\x0ab'],
    ['a terminal sequence', '\x1b[31mred', '\\x1b[31mred'],
    ['DEL and C1', '\x7f\x9b', '\\x7f\\x9b'],
    ['a bidirectional override', 'a\u202eb\u2066c\u200f', 'a\\u202eb\\u2066c\\u200f'],
    ['line separators', 'a\u2028b\u2029c', 'a\\u2028b\\u2029c'],
    ['half of a surrogate pair', 'a\ud83d', 'a\\ud83d'],
    ['an invisible tag', '\u{e0041}', '\\u{e0041}'],
  ])('shows %s as an escape', (_, text, shown) => {
    expect(printable(text)).toBe(shown);
  });

  it('leaves letters of every script, and emoji, alone', () => {
    expect(printable('Zoë Ж 東京 😀 café')).toBe('Zoë Ж 東京 😀 café');
  });

  it('is cut where it gets too long', () => {
    expect(printable('x'.repeat(2000))).toHaveLength(2000);
    expect(printable('x'.repeat(2001))).toBe(`${'x'.repeat(1999)}…`);
  });
});

describe('secrets in text', () => {
  const key = '7K3QZ0XM'.repeat(7).concat('7K');

  it.each([
    ['as one word', key],
    ['in groups with hyphens', key.replace(/(.{4})(?=.)/g, '$1-')],
    ['in groups with spaces', key.replace(/(.{6})(?=.)/g, '$1 ')],
    ['over two lines', `${key.slice(0, 29)}\n${key.slice(29)}`],
    ['in lower case', key.toLowerCase()],
  ])('are taken out when they look like a recovery key %s', (_, written) => {
    expect(redactSecrets(`key=${written}, said FR1`)).toBe('key=[secret], said FR1');
  });

  it('are taken out when they look like an age secret key', () => {
    expect(redactSecrets(`AGE-SECRET-KEY-1${'Q'.repeat(58)}\nAGE-SECRET-KEY-PQ-1${'q'.repeat(58)}`)).toBe(
      '[secret]\n[secret]',
    );
  });

  it.each([
    ['a SHA-256', 'ab12'.repeat(16)],
    ['an identity', 'lfImITEvTjwRH7XjaEfBsT28aH3P/KigH0p/Oq6wslY='],
    ['a public age key', 'age17y46w907m7fqf6ek78zsa29z87e8pkwe6zlejkluja9nztla3v0scrv8jk'],
    ['the name of a backup', 'anemone-backup-FR1-20261123-010000.enc'],
    ['a sentence of 58 letters', `${'sentence '.repeat(7)}at`],
  ])('are not seen in %s', (_, text) => {
    expect(redactSecrets(text)).toBe(text);
  });
});
