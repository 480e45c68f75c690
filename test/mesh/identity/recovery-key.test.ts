import { identityToRecipient } from 'age-encryption';
import { describe, expect, it } from 'vitest';
import {
  deriveKeys,
  formatRecoveryKey,
  generateRecoveryKey,
  parseRecoveryKey,
} from '../../../src/mesh/identity/recovery-key.js';

describe('a recovery key', () => {
  it('is 58 characters of Crockford base32 on paper, and reads back', () => {
    const key = generateRecoveryKey();
    const text = formatRecoveryKey(key);
    expect(text.replaceAll('-', '')).toMatch(/^[0-9A-HJKMNP-TV-Z]{58}$/);
    expect(parseRecoveryKey(text)).toEqual(key);
  });

  it('is the same text, identity and age identity for the same secret, for ever', async () => {
    // Worked out outside this program, after docs/formats.md: HKDF with `openssl kdf`, the public keys with `openssl pkey`,
    // base32 and bech32 in Python. A program that gives others cannot open what earlier versions sealed.
    const key = { secret: Buffer.from(Array.from({ length: 32 }, (_, index) => index)) };
    const text = '040020-G30G2G-C1R814-50P30D-1R7H04-8J2CA1-A5GQ30-CHM6RW-3MF1ZP-791G';
    expect(formatRecoveryKey(key)).toBe(text);
    expect(parseRecoveryKey(text)).toEqual(key);
    const { identity, ageIdentity } = deriveKeys(key);
    expect(identity).toBe('MwHYY8Zy/iX1/1cXl/3TAQlvacv9G/jW00etxCubowA=');
    expect(ageIdentity).toBe('AGE-SECRET-KEY-1303S08SKK6V26GP6MNSAW9XRR4Q48H48VY8PM42HLCQCYWZ4R32QL5VWH2');
    const recipient = 'age16kyh0mpja38d7w56a4zz00ufsvafev782nyfar3dj0978w8qly0q04x046';
    expect(await identityToRecipient(ageIdentity)).toBe(recipient);
  });

  it('is read as a person types it: lower case, spaces for hyphens, O for 0, I and L for 1', () => {
    const key = generateRecoveryKey();
    const typed = formatRecoveryKey(key)
      .toLowerCase()
      .replaceAll('-', '  ')
      .replaceAll('0', 'o')
      .replace('1', 'l')
      .replaceAll('1', 'i');
    expect(parseRecoveryKey(` ${typed}\n`)).toEqual(key);
  });

  it('is refused when any one character is wrong, without being shown', () => {
    const text = formatRecoveryKey(generateRecoveryKey()).replaceAll('-', '');
    for (let index = 0; index < text.length; index += 1) {
      const wrong = text.slice(0, index) + (text[index] === '7' ? '8' : '7') + text.slice(index + 1);
      expect(() => parseRecoveryKey(wrong)).toThrow(/at least one character is wrong|of version/);
    }
  });

  it('says what is wrong with a key of another length or alphabet', () => {
    const text = formatRecoveryKey(generateRecoveryKey());
    expect(() => parseRecoveryKey(text.slice(1))).toThrow('it has 57 characters instead of 58');
    expect(() => parseRecoveryKey(`U${text.slice(1)}`)).toThrow('character 1 cannot occur');
    expect(() => parseRecoveryKey(text.slice(1))).toThrow(expect.objectContaining({ kind: 'wrong-key' }));
  });

  it('gives the same identity and age identity each time, and others for another key', () => {
    const key = { secret: Buffer.alloc(32, 7) };
    expect(deriveKeys(key).identity).toBe(deriveKeys(key).identity);
    expect(deriveKeys(key).ageIdentity).toMatch(/^AGE-SECRET-KEY-1[0-9A-Z]{58}$/);
    expect(deriveKeys(generateRecoveryKey()).identity).not.toBe(deriveKeys(key).identity);
  });
});
