import { buffer } from 'node:stream/consumers';
import { armor, generateX25519Identity, identityToRecipient } from 'age-encryption';
import { describe, expect, it } from 'vitest';
import { ageSealer } from '../../../src/mesh/envelope/age.js';
import { cbc1Sealer } from '../../../src/mesh/envelope/anemone-cbc1.js';
import { detectFormat, openEnvelope } from '../../../src/mesh/envelope/open.js';
import { noise, whole } from './streams.js';

const cbc1KeyText = 'old key';
const identity = await generateX25519Identity();
const recipients = [await identityToRecipient(identity)];
const keys = { ageIdentities: [identity], cbc1KeyText };
const ageFile = await buffer(ageSealer(recipients).seal(whole('new')));
const cbc1File = await buffer(cbc1Sealer(cbc1KeyText).seal(whole('old')));

describe('the format of a file', () => {
  it('is read from its beginning', () => {
    expect(detectFormat(ageFile)).toBe('age');
    expect(detectFormat(Buffer.from(armor.encode(ageFile)))).toBe('age');
    expect(detectFormat(Buffer.from('age-encryption.org/v9\n'))).toBe('age');
    expect(detectFormat(cbc1File)).toBe('anemone-cbc1');
    expect(detectFormat(noise(512))).toBe('anemone-cbc1');
    expect(detectFormat(Buffer.from('server:\n  name: FR1\n'))).toBeNull();
    expect(detectFormat(Buffer.alloc(0))).toBeNull();
  });

  it('decides how it is opened, when one holds the keys of both', async () => {
    for (const [file, format, content] of [
      [ageFile, 'age', 'new'],
      [cbc1File, 'anemone-cbc1', 'old'],
    ] as const) {
      for (const stated of [format, undefined]) {
        const opened = await openEnvelope(whole(file), keys, stated);
        expect(opened.format).toBe(format);
        expect(String(await buffer(opened.plaintext))).toBe(content);
      }
    }
  });

  it('that a manifest states is the one that counts', async () => {
    await expect(openEnvelope(whole(cbc1File), keys, 'age')).rejects.toMatchObject({ kind: 'damaged' });
  });
});

describe('a file that is not sealed', () => {
  it('is refused as what it looks like', async () => {
    const page = whole('<!DOCTYPE html><html><body>Not found</body></html>');
    await expect(openEnvelope(page, keys)).rejects.toMatchObject({
      kind: 'damaged',
      message: expect.stringMatching(/not a sealed backup.* looks like HTML/),
    });
    await expect(openEnvelope(whole(''), keys)).rejects.toMatchObject({
      kind: 'damaged',
      message: expect.stringMatching(/an empty file/),
    });
  });

  it('is let go', async () => {
    let released = false;
    const page = (async function* () {
      try {
        for (;;) yield Buffer.from('plain text, '.repeat(100));
      } finally {
        released = true;
      }
    })();
    await expect(openEnvelope(page, keys)).rejects.toMatchObject({ kind: 'damaged' });
    expect(released).toBe(true);
  });
});
