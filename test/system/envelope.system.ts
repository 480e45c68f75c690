import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createReadStream, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ageSealer } from '../../src/mesh/envelope/age.js';
import { cbc1Sealer } from '../../src/mesh/envelope/anemone-cbc1.js';
import type { EnvelopeKeys } from '../../src/mesh/envelope/envelope.js';
import { openEnvelope } from '../../src/mesh/envelope/open.js';
import { boundarySizes, noise, whole } from '../mesh/envelope/streams.js';

const sizes = [...boundarySizes, 3_000_001];

let folder: string;
const file = (name: string): string => join(folder, name);

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'anemone-envelope-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function demand(program: string, versionFlag: string): void {
  try {
    execFileSync(program, [versionFlag], { stdio: 'pipe' });
  } catch (cause) {
    throw new Error(`this test needs the program ${program}: apt-get install -y ${program}`, { cause });
  }
}

async function run(program: string, args: readonly string[], input: Uint8Array): Promise<Buffer> {
  const child: ChildProcess = spawn(program, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  const { stdin, stdout } = child;
  if (stdin === null || stdout === null) throw new Error(`${program} has no pipes`);
  const closed = once(child, 'close');
  const [output] = await Promise.all([buffer(stdout), pipeline(Readable.from(whole(input)), stdin)]);
  const [code] = await closed;
  if (code !== 0) throw new Error(`${program} ended with code ${code}`);
  return output;
}

async function opened(ciphertext: AsyncIterable<Uint8Array>, keys: EnvelopeKeys): Promise<Buffer> {
  return buffer((await openEnvelope(ciphertext, keys)).plaintext);
}

describe("Debian's age", () => {
  let identity: string;
  let recipient: string;

  beforeAll(() => {
    demand('age', '--version');
    identity = execFileSync('age-keygen', { stdio: 'pipe' }).toString().split('\n')[2] ?? '';
    recipient = execFileSync('age-keygen', ['-y'], { input: identity }).toString().trim();
    writeFileSync(file('identity.txt'), `${identity}\n`, { mode: 0o600 });
  });

  it.each(sizes)('opens %i bytes that were sealed here', async (size) => {
    const sealed = await buffer(ageSealer([recipient]).seal(whole(noise(size))));
    const plaintext = await run('age', ['--decrypt', '--identity', file('identity.txt')], sealed);
    expect(plaintext.equals(noise(size))).toBe(true);
  });

  it.each(sizes)('makes files of %i bytes that open here, in binary and in armor', async (size) => {
    for (const flags of [[], ['--armor']]) {
      const sealed = await run('age', [...flags, '--recipient', recipient], noise(size));
      expect((await opened(whole(sealed), { ageIdentities: [identity] })).equals(noise(size))).toBe(true);
    }
  });

  it('makes a file on disk that opens here as a stream', async () => {
    writeFileSync(file('sealed.age'), await run('age', ['--recipient', recipient], noise(5_000_000)));
    const plaintext = await opened(createReadStream(file('sealed.age')), { ageIdentities: [identity] });
    expect(plaintext.equals(noise(5_000_000))).toBe(true);
  });
});

describe('stock OpenSSL', () => {
  const cbc1KeyText = 'the Restic key';
  let key: string;

  beforeAll(() => {
    demand('openssl', 'version');
    const options = ['digest:SHA256', `pass:${cbc1KeyText}`, 'salt:anemone-config-export', 'iter:100000'];
    const flags = options.flatMap((option) => ['-kdfopt', option]);
    key = execFileSync('openssl', ['kdf', '-keylen', '32', ...flags, 'PBKDF2'])
      .toString()
      .trim()
      .replaceAll(':', '');
  });

  const cipher = (iv: Buffer): string[] => ['enc', '-aes-256-cbc', '-K', key, '-iv', iv.toString('hex')];

  it.each(sizes)('opens %i bytes that were sealed here', async (size) => {
    const sealed = await buffer(cbc1Sealer(cbc1KeyText).seal(whole(noise(size))));
    const plaintext = await run('openssl', [...cipher(sealed.subarray(0, 16)), '-d'], sealed.subarray(16));
    expect(plaintext.equals(noise(size))).toBe(true);
  });

  it.each(sizes)('makes files of %i bytes that open here', async (size) => {
    const iv = noise(16, 'iv');
    const sealed = Buffer.concat([iv, await run('openssl', cipher(iv), noise(size))]);
    expect((await opened(whole(sealed), { ageIdentities: [], cbc1KeyText })).equals(noise(size))).toBe(true);
  });
});
