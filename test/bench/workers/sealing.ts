import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { generateX25519Identity, identityToRecipient } from 'age-encryption';
import { ageSealer } from '../../../src/mesh/envelope/age.js';
import { openEnvelope } from '../../../src/mesh/envelope/open.js';
import { writeRandom } from './plant.js';

const leaf = 64 * 1024;
const algorithm = 'chacha20-poly1305';

function read(path: string): AsyncIterable<Uint8Array> {
  return createReadStream(path, { highWaterMark: 2 ** 20 });
}

async function drain(bytes: AsyncIterable<Uint8Array>): Promise<number> {
  let total = 0;
  for await (const chunk of bytes) total += chunk.length;
  return total;
}

/** The least that sealing is: every 64 KiB of a file once through the cipher, with a nonce and a tag. */
async function bareLoop(path: string, seal: boolean): Promise<number> {
  const key = randomBytes(32);
  let index = 0;
  let total = 0;
  for await (const chunk of read(path)) {
    for (let offset = 0; offset < chunk.length; offset += leaf) {
      const nonce = Buffer.alloc(12);
      nonce.writeUIntBE(index, 5, 6);
      index += 1;
      const cipher = (seal ? createCipheriv : createDecipheriv)(algorithm, key, nonce, { authTagLength: 16 });
      total += cipher.update(chunk.subarray(offset, offset + leaf)).length;
      if (seal) cipher.final();
    }
  }
  return total;
}

export const sealingTasks = {
  async makeAgeKey(_: null): Promise<{ readonly identity: string; readonly recipient: string }> {
    const identity = await generateX25519Identity();
    return { identity, recipient: await identityToRecipient(identity) };
  },

  makeRandom: ({ path, size }: { readonly path: string; readonly size: number }): Promise<void> =>
    writeRandom(path, size),

  async sealTo(work: { readonly path: string; readonly recipient: string; readonly target: string }): Promise<null> {
    await writeFile(work.target, ageSealer([work.recipient]).seal(read(work.path)));
    return null;
  },

  /** Seals a file to nowhere. */
  async seal({ path, recipient }: { readonly path: string; readonly recipient: string }): Promise<number> {
    return drain(ageSealer([recipient]).seal(read(path)));
  },

  /** Opens a file to nowhere. */
  async open({ path, identity }: { readonly path: string; readonly identity: string }): Promise<number> {
    return drain((await openEnvelope(read(path), { ageIdentities: [identity] })).plaintext);
  },

  bareSeal: ({ path }: { readonly path: string }): Promise<number> => bareLoop(path, true),

  bareOpen: ({ path }: { readonly path: string }): Promise<number> => bareLoop(path, false),
};
