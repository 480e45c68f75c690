import { buffer } from 'node:stream/consumers';
import { armor, Encrypter, generateHybridIdentity, generateX25519Identity, identityToRecipient } from 'age-encryption';
import { beforeAll, describe, expect, it } from 'vitest';
import { ageSealer } from '../../../src/mesh/envelope/age.js';
import type { OpenedEnvelope } from '../../../src/mesh/envelope/envelope.js';
import { openEnvelope } from '../../../src/mesh/envelope/open.js';
import type { Bytes } from '../../../src/mesh/terms/bytes.js';
import { flipped } from '../../support/flip-bit.js';
import { boundarySizes, chunkings, collectUntilError, cut, noise, whole } from './streams.js';

const sealedChunk = 64 * 1024 + 16;

let identity: string;
let recipient: string;

beforeAll(async () => {
  identity = await generateX25519Identity();
  recipient = await identityToRecipient(identity);
});

const seal = (plaintext: Bytes, recipients = [recipient]): Promise<Buffer> =>
  buffer(ageSealer(recipients).seal(plaintext));

const open = (ciphertext: Bytes, ageIdentities = [identity]): Promise<OpenedEnvelope> =>
  openEnvelope(ciphertext, { ageIdentities });

/** Reads to the end and gives the failure, wherever it came from; null when there was none. */
async function failureOf(file: Uint8Array, ageIdentities = [identity]): Promise<unknown> {
  try {
    const opened = await open(whole(file), ageIdentities);
    return (await collectUntilError(opened.plaintext)).error;
  } catch (error) {
    return error;
  }
}

const headerSize = (file: Buffer): number => file.indexOf('\n', file.indexOf('\n---') + 1) + 1;

describe('an age envelope', () => {
  for (const [manner, chunked] of Object.entries(chunkings)) {
    for (const size of boundarySizes) {
      it(`gives back ${size} bytes that were cut ${manner}`, async () => {
        const plaintext = noise(size);
        const file = await seal(chunked(plaintext));
        const opened = await open(chunked(file));
        expect(opened).toMatchObject({ format: 'age', keyProven: true });
        expect((await buffer(opened.plaintext)).equals(plaintext)).toBe(true);
      });
    }
  }

  it('has one tag for each 64 KiB, and one for nothing', async () => {
    for (const [size, chunks] of [
      [0, 1],
      [1, 1],
      [65536, 1],
      [65537, 2],
      [131072, 2],
    ] as const) {
      const file = await seal(whole(noise(size)));
      expect(file.length - headerSize(file) - 16).toBe(size + 16 * chunks);
    }
  });

  it('is different each time, though the plaintext is the same', async () => {
    const sealer = ageSealer([recipient]);
    const [first, second] = [await buffer(sealer.seal(whole('same'))), await buffer(sealer.seal(whole('same')))];
    expect(first.equals(second)).toBe(false);
    expect(first.subarray(-20).equals(second.subarray(-20))).toBe(false);
  });

  it('opens with the key of any of its recipients, the post-quantum kind too', async () => {
    const others = [await generateX25519Identity(), await generateHybridIdentity()];
    const recipients = [recipient, ...(await Promise.all(others.map(identityToRecipient)))];
    const file = await seal(whole('for three'), recipients);
    for (const key of [identity, ...others]) {
      const opened = await open(whole(file), [await generateX25519Identity(), key]);
      expect(String(await buffer(opened.plaintext))).toBe('for three');
    }
  });

  it('opens in ASCII armor, however it is cut', async () => {
    const plaintext = noise(200_000);
    const armored = Buffer.from(` \n\n${armor.encode(await seal(whole(plaintext)))}\n\n`);
    for (const chunked of Object.values(chunkings)) {
      const opened = await open(chunked(armored));
      expect((await buffer(opened.plaintext)).equals(plaintext)).toBe(true);
    }
  });

  it('opens with a passphrase', async () => {
    const encrypter = new Encrypter();
    encrypter.setPassphrase('correct horse');
    encrypter.setScryptWorkFactor(10);
    const file = await encrypter.encrypt('secret');
    const opened = await openEnvelope(whole(file), { ageIdentities: [identity], passphrase: 'correct horse' });
    expect(String(await buffer(opened.plaintext))).toBe('secret');

    const wrong = openEnvelope(whole(file), { ageIdentities: [], passphrase: 'wrong horse' });
    await expect(wrong).rejects.toMatchObject({
      kind: 'wrong-key',
      message: expect.stringMatching(/passphrase given does not open/),
    });
    const none = openEnvelope(whole(file), { ageIdentities: [identity] });
    await expect(none).rejects.toMatchObject({
      kind: 'wrong-key',
      message: expect.stringMatching(/a passphrase, and none was given/),
    });
  });
});

describe('a wrong key', () => {
  it('is told before any byte comes out', async () => {
    const file = await seal(whole('closed'));
    const opening = open(whole(file), [await generateX25519Identity(), await generateHybridIdentity()]);
    await expect(opening).rejects.toMatchObject({
      kind: 'wrong-key',
      message: expect.stringMatching(/secret key given does not open/),
    });
  });

  it('is told from no key at all', async () => {
    const opening = open(whole(await seal(whole('closed'))), []);
    await expect(opening).rejects.toMatchObject({
      kind: 'wrong-key',
      message: expect.stringMatching(/none was given/),
    });
  });

  it('that is no key is a failure of the configuration that does not repeat it', async () => {
    const broken = `${identity.slice(0, -1)}B`;
    const opening = open(whole(await seal(whole('closed'))), [identity, broken]);
    await expect(opening).rejects.toMatchObject({ kind: 'config', message: 'key 2 is not an age secret key' });
    await expect(opening).rejects.not.toMatchObject({ message: expect.stringContaining(broken) });
  });
});

describe('a damaged age file', () => {
  it('is noticed wherever it was cut off', async () => {
    const file = await seal(whole(noise(100)));
    for (let size = 0; size < file.length; size += 1) {
      expect(await failureOf(file.subarray(0, size)), `cut at ${size}`).toMatchObject({ kind: 'damaged' });
    }
    expect(await failureOf(file)).toBeNull();
  });

  it('is noticed when it was cut off around a chunk, and says where', async () => {
    const file = await seal(whole(noise(2 * 65536 + 100)));
    const payload = headerSize(file) + 16;
    for (const chunks of [1, 2]) {
      for (const offset of [-17, -16, -1, 0, 1, 15, 16, 17]) {
        const failure = await failureOf(file.subarray(0, payload + chunks * sealedChunk + offset));
        expect(failure).toMatchObject({ kind: 'damaged', message: expect.stringMatching(/cut off/) });
      }
    }
    const failure = await failureOf(file.subarray(0, payload + sealedChunk));
    expect(failure).toMatchObject({ message: expect.stringMatching(/its payload was cut off after chunk 1$/) });
  });

  it('is noticed when anything follows its end', async () => {
    for (const size of [0, 100, 65535, 65536, 65537]) {
      for (const more of [1, 15, 16, 17, 70_000]) {
        const file = Buffer.concat([await seal(whole(noise(size))), noise(more)]);
        expect(await failureOf(file), `${size} + ${more}`).toMatchObject({ kind: 'damaged' });
      }
    }
    expect(await failureOf(Buffer.concat([await seal(whole(noise(65536))), noise(1)]))).toMatchObject({
      message: expect.stringMatching(/ends with chunk 1, and more data follows/),
    });
  });

  it('is noticed for every bit that was flipped; only in the wrapped key does it look like a wrong key', async () => {
    const file = await seal(whole(noise(50)));
    const stanza = { start: file.indexOf('-> '), end: file.indexOf('---') };
    for (let at = 0; at < file.length; at += 1) {
      const inStanza = at >= stanza.start && at < stanza.end;
      const kind = inStanza ? expect.stringMatching(/^(wrong-key|damaged)$/) : 'damaged';
      expect(await failureOf(flipped(file, at)), `flipped at ${at}`).toMatchObject({ kind });
    }
  });

  it('hands out the chunks before the damage, and nothing of or after the damaged one', async () => {
    const plaintext = noise(3 * 65536);
    const file = await seal(whole(plaintext));
    const opened = await open(whole(flipped(file, headerSize(file) + 16 + sealedChunk + 5)));
    const { bytes, error } = await collectUntilError(opened.plaintext);
    expect(bytes.equals(plaintext.subarray(0, 65536))).toBe(true);
    expect(error).toMatchObject({
      kind: 'damaged',
      message: expect.stringMatching(/chunk 2 of its payload, from byte 65552 on, was changed/),
    });
  });

  it('is noticed when its chunks were put in another order', async () => {
    const file = await seal(whole(noise(3 * 65536)));
    const start = headerSize(file) + 16;
    const chunk = (index: number) => file.subarray(start + index * sealedChunk, start + (index + 1) * sealedChunk);
    const swapped = Buffer.concat([file.subarray(0, start), chunk(1), chunk(0), chunk(2)]);
    expect(await failureOf(swapped)).toMatchObject({ kind: 'damaged' });
  });
});

describe('the header of an age file', () => {
  const grease = '-> grease\n\n';

  it('is opened up to 64 KiB', async () => {
    const recipients = Array.from({ length: 400 }, () => recipient);
    const file = await seal(whole('many'), recipients);
    expect(headerSize(file)).toBeGreaterThan(38_000);
    expect(await failureOf(file)).toBeNull();
  });

  it('is refused beyond 64 KiB, without reading on', async () => {
    let read = 0;
    let released = false;
    const bomb = (async function* () {
      try {
        yield Buffer.from('age-encryption.org/v1\n');
        for (;;) {
          read += 64 * 1024;
          yield Buffer.from(grease.repeat(64 * 1024).slice(0, 64 * 1024));
        }
      } finally {
        released = true;
      }
    })();
    await expect(open(bomb)).rejects.toMatchObject({
      kind: 'damaged',
      message: expect.stringMatching(/header .* longer than 64 KiB/),
    });
    expect(read).toBeLessThanOrEqual(128 * 1024);
    expect(released).toBe(true);
  });

  it('is refused beyond 64 KiB even when it ends and all of it is there', async () => {
    const mac = `--- ${'A'.repeat(43)}\n`;
    const file = `age-encryption.org/v1\n${grease.repeat(6000)}${mac}`;
    expect(await failureOf(Buffer.from(file))).toMatchObject({
      kind: 'damaged',
      message: expect.stringMatching(/longer than 64 KiB/),
    });
  });
});

it('is sealed to one recipient at least', () => {
  const toNobody = () => ageSealer([]);
  expect(toNobody).toThrow(expect.objectContaining({ kind: 'config' }));
});

describe('a stream that fails or is left', () => {
  const failing = async function* (file: Uint8Array) {
    yield* cut(file, () => 40_000);
    throw new Error('the disk went away');
  };

  it('keeps its own error: it is not damage', async () => {
    await expect(seal(failing(noise(100_000)))).rejects.toThrow('the disk went away');
    const file = await seal(whole(noise(300_000)));
    await expect(open(failing(file.subarray(0, 30)))).rejects.toThrow('the disk went away');
    const opened = await open(failing(file));
    await expect(buffer(opened.plaintext)).rejects.toThrow('the disk went away');
  });

  it('is released when the reader stops, and when it does not open', async () => {
    let released = 0;
    const watched = async function* (file: Uint8Array) {
      try {
        yield* cut(file, () => 70_000);
      } finally {
        released += 1;
      }
    };
    const file = await seal(whole(noise(500_000)));
    for await (const piece of (await open(watched(file))).plaintext) {
      expect(piece.length).toBe(65536);
      break;
    }
    expect(released).toBe(1);
    await expect(open(watched(file), [])).rejects.toMatchObject({ kind: 'wrong-key' });
    expect(released).toBe(2);
    for await (const _ of ageSealer([recipient]).seal(watched(file))) {
      if (released === 2) continue;
    }
    expect(released).toBe(3);
  });
});
