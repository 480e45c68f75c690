import { createCipheriv, createDecipheriv, pbkdf2Sync } from 'node:crypto';
import { buffer } from 'node:stream/consumers';
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { cbc1Sealer } from '../../../src/mesh/envelope/anemone-cbc1.js';
import type { OpenedEnvelope } from '../../../src/mesh/envelope/envelope.js';
import { openEnvelope } from '../../../src/mesh/envelope/open.js';
import type { Bytes } from '../../../src/mesh/terms/bytes.js';
import { flipped } from '../../support/flip-bit.js';
import { boundarySizes, chunkings, collectUntilError, noise, whole } from './streams.js';

const keyText = 'the Restic key, in UTF-8: clé';
const keys = { ageIdentities: [], cbc1KeyText: keyText };
const derivedKey = pbkdf2Sync(keyText, 'anemone-config-export', 100000, 32, 'sha256');
const archive = gzipSync(noise(5000));

/** The predecessor's format, from its description and not from the code under test. */
function predecessorFile(plaintext: Uint8Array, { padding = true } = {}): Buffer {
  const iv = noise(16, 'iv');
  const cipher = createCipheriv('aes-256-cbc', derivedKey, iv).setAutoPadding(padding);
  return Buffer.concat([iv, cipher.update(plaintext), cipher.final()]);
}

function predecessorOpens(file: Buffer): Buffer {
  const decipher = createDecipheriv('aes-256-cbc', derivedKey, file.subarray(0, 16));
  return Buffer.concat([decipher.update(file.subarray(16)), decipher.final()]);
}

const seal = (plaintext: Bytes): Promise<Buffer> => buffer(cbc1Sealer(keyText).seal(plaintext));

const open = (file: Bytes, cbc1KeyText = keyText): Promise<OpenedEnvelope> =>
  openEnvelope(file, { ageIdentities: [], cbc1KeyText });

async function failureOf(file: Uint8Array, cbc1KeyText = keyText): Promise<unknown> {
  try {
    const opened = await open(whole(file), cbc1KeyText);
    return (await collectUntilError(opened.plaintext)).error;
  } catch (error) {
    return error;
  }
}

describe('an anemone-cbc1 envelope', () => {
  const stride = 256 * 1024;
  const sizes = [
    ...boundarySizes.filter((size) => size < 65537),
    stride - 17,
    stride - 16,
    stride - 1,
    stride,
    stride + 1,
    stride + 16,
  ];

  for (const [manner, chunked] of Object.entries(chunkings)) {
    it(`opens what the predecessor made, cut ${manner}, at every size`, async () => {
      for (const size of sizes) {
        const plaintext = noise(size);
        const opened = await openEnvelope(chunked(predecessorFile(plaintext)), keys);
        expect(opened.format).toBe('anemone-cbc1');
        expect((await buffer(opened.plaintext)).equals(plaintext), `${size} bytes`).toBe(true);
      }
    });

    it(`is opened by the predecessor, cut ${manner}, at every size`, async () => {
      for (const size of sizes) {
        const plaintext = noise(size);
        const file = await seal(chunked(plaintext));
        expect(file.length).toBe(16 + size + 16 - (size % 16));
        expect(predecessorOpens(file).equals(plaintext), `${size} bytes`).toBe(true);
      }
    });
  }

  it('has another IV each time', async () => {
    const files = [await seal(whole('same')), await seal(whole('same'))];
    expect(files[0]?.subarray(0, 16)).not.toEqual(files[1]?.subarray(0, 16));
  });

  it('needs a key text', () => {
    expect(() => cbc1Sealer('')).toThrow(expect.objectContaining({ kind: 'config' }));
  });

  it('proves its key by an archive inside, and not by noise', async () => {
    expect(await open(whole(predecessorFile(archive)))).toMatchObject({ keyProven: true });
    expect(await open(whole(predecessorFile(Buffer.alloc(0))))).toMatchObject({ keyProven: true });
    expect(await open(whole(predecessorFile(noise(100_000))))).toMatchObject({ keyProven: false });
  });
});

describe('a wrong key of an anemone-cbc1 file', () => {
  it('is told by the padding', async () => {
    const file = predecessorFile(noise(5000));
    for (const wrong of ['', 'wrong 0', 'wrong 1', 'wrong 2', `${keyText}\n`]) {
      expect(await failureOf(file, wrong)).toMatchObject({
        kind: 'wrong-key',
        hint: expect.stringMatching(/cannot tell the two apart/),
      });
    }
  });

  it('is missed by the padding once in 256 times; then it is not proven', async () => {
    const luckyKey = 'wrong 293';
    const opened = await open(whole(predecessorFile(noise(5000))), luckyKey);
    expect(opened).toMatchObject({ keyProven: false });
    expect((await buffer(opened.plaintext)).equals(noise(5000))).toBe(false);
  });

  it('is told from no key', async () => {
    const opening = openEnvelope(whole(predecessorFile(archive)), { ageIdentities: [] });
    await expect(opening).rejects.toMatchObject({
      kind: 'wrong-key',
      message: expect.stringMatching(/none was given/),
    });
  });
});

describe('a damaged anemone-cbc1 file', () => {
  it('is noticed when its length is impossible, whatever the key', async () => {
    const file = predecessorFile(noise(300_000));
    for (const size of [17, 31, 33, 100, file.length - 15, file.length - 1]) {
      expect(await failureOf(file.subarray(0, size)), `${size} bytes`).toMatchObject({ kind: 'damaged' });
      expect(await failureOf(file.subarray(0, size), 'wrong key')).toMatchObject({ kind: 'damaged' });
    }
    expect(await failureOf(Buffer.concat([file, noise(5)]))).toMatchObject({ kind: 'damaged' });
    for (const size of [0, 1, 16]) expect(await failureOf(file.subarray(0, size))).toMatchObject({ kind: 'damaged' });
  });

  it('is damaged, and not closed with another key, when an archive begins and the padding is wrong', async () => {
    const file = predecessorFile(Buffer.concat([archive, noise(300_000)]));
    for (const wrong of [file.subarray(0, -16), Buffer.concat([file, noise(16)]), flipped(file, file.length - 1)]) {
      expect(await failureOf(wrong)).toMatchObject({
        kind: 'damaged',
        message: expect.stringMatching(/key is right, and its end was changed or cut off/),
      });
    }
  });

  it('is noticed by every wrong padding: each byte of it counts', async () => {
    const data = gzipSync('x').subarray(0, 16);
    for (const length of [1, 2, 9, 16]) {
      const right = Buffer.concat([data, noise(16 - length), Buffer.alloc(length, length)]);
      expect(await failureOf(predecessorFile(right, { padding: false }))).toBeNull();
      for (let at = 32 - length; at < 32; at += 1) {
        const wrong = Buffer.from(right);
        wrong.writeUInt8(right.readUInt8(at) ^ 0x20, at);
        expect(await failureOf(predecessorFile(wrong, { padding: false }))).toMatchObject({ kind: 'damaged' });
      }
    }
    for (const length of [0, 17, 255]) {
      const wrong = Buffer.concat([data, Buffer.alloc(16, length)]);
      expect(await failureOf(predecessorFile(wrong, { padding: false }))).toMatchObject({ kind: 'damaged' });
    }
  });

  it('is not noticed in its middle, which is why a manifest is needed', async () => {
    const file = predecessorFile(noise(1000));
    const opened = await open(whole(flipped(file, 500)));
    expect((await buffer(opened.plaintext)).equals(noise(1000))).toBe(false);
  });
});
