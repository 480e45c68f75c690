import { randomBytes } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { Manifest } from '../../../src/mesh/generated/anemone/backup/v1/backup.js';
import { deriveKeys, generateRecoveryKey } from '../../../src/mesh/identity/recovery-key.js';
import { makeServerIdentity } from '../../../src/mesh/identity/server-identity.js';
import { readChainHead, writeChainHead } from '../../../src/mesh/manifest/chain.js';
import { signManifest, verifyManifest } from '../../../src/mesh/manifest/manifest.js';
import { signReceipt, verifyReceipt } from '../../../src/mesh/manifest/receipt.js';
import { throwawayServer } from '../../support/identities.js';
import { factsAbout, manifestOf } from '../../support/manifests.js';
import { temporaryFolder } from '../../support/temporary-folder.js';

const server = throwawayServer();
const { identity, signer } = server;
const content = randomBytes(1000);

describe('a manifest', () => {
  it('is believed when its owner signed it, and keeps the bytes that were signed', () => {
    const signed = signManifest(factsAbout(content, signer), signer);
    const verified = verifyManifest(signed, identity);
    expect(verified.facts).toMatchObject({ owner: 'FR1', set: 'backup', sequence: 1, size: 1000 });
    expect(verified.signed).toBe(signed);
  });

  it('is not believed after any one bit of it, its signature or its certificate changed', () => {
    const signed = signManifest(factsAbout(content, signer), signer);
    for (const part of ['manifest', 'signature', 'certificate'] as const) {
      for (let byte = 0; byte < signed[part].length; byte += 1) {
        const changed = Buffer.from(signed[part]);
        changed[byte] = (changed[byte] ?? 0) ^ (1 << (byte % 8));
        expect(() => verifyManifest({ ...signed, [part]: changed }, identity)).toThrow(
          expect.objectContaining({ name: 'Failure' }),
        );
      }
    }
  });

  it('is not believed when another server signed it', () => {
    const other = throwawayServer();
    const signed = signManifest(factsAbout(content, signer), other.signer);
    expect(() => verifyManifest(signed, identity)).toThrow(expect.objectContaining({ kind: 'untrusted' }));
  });

  it('cannot be made of a receipt, nor a receipt of a manifest', () => {
    const manifest = signManifest(factsAbout(content, signer), signer);
    const receipt = { ...manifest, receipt: manifest.manifest };
    expect(() => verifyReceipt(receipt, identity, Buffer.alloc(32))).toThrow(/signature of the receipt/);
    const signed = signReceipt({ manifestDigest: Buffer.alloc(32), receivedAt: 1 }, signer);
    expect(() => verifyManifest({ ...signed, manifest: signed.receipt }, identity)).toThrow(
      /signature of the manifest/,
    );
  });

  it.each<[string, Partial<Manifest>]>([
    ['a name of another owner', { name: 'anemone-backup-US1-20261123-010000.enc' }],
    ['a name of another set', { name: 'anemone-db-FR1-20261123-010000.enc' }],
    ['a name that leaves its folder', { name: '../anemone-backup-FR1-20261123-010000.enc' }],
    ['a day that does not exist', { name: 'anemone-backup-FR1-20261131-010000.enc' }],
    ['another identity', { identity: randomBytes(32) }],
    ['a digest of 31 bytes', { sha256: randomBytes(31) }],
    ['a root of 0 bytes', { treeRoot: Buffer.alloc(0) }],
    ['sequence 0', { sequence: 0 }],
    ['no previous one although it is the second', { sequence: 2 }],
    ['a previous one although it is the first', { previous: randomBytes(32) }],
    ['no bytes', { size: 0 }],
    ['a name of 5,000 characters', { format: 'x'.repeat(5000) }],
  ])('that its owner signed is refused with %s', (_what, changes) => {
    const signed = signManifest(factsAbout(content, signer, changes), signer);
    expect(() => verifyManifest(signed, identity)).toThrow(expect.objectContaining({ name: 'Failure' }));
  });

  it('has a number up to what the age of its node key allows, so that a stolen key uses up no number of the next one', () => {
    const keys = deriveKeys(generateRecoveryKey());
    const [stolen, rebuilt] = [1_700_000_000_000, 1_700_000_000_001].map((epoch) =>
      makeServerIdentity(keys, 'FR1', epoch),
    );
    const highest = 1024 * 1_700_000_000_000;
    const numbered = (sequence: number, server = stolen) =>
      manifestOf(content, server?.signer ?? signer, { sequence, previous: randomBytes(32) }).facts.sequence;
    expect(numbered(highest)).toBe(highest);
    expect(numbered(highest + 1, rebuilt)).toBe(highest + 1);
    for (const sequence of [highest + 1, Number.MAX_SAFE_INTEGER]) {
      expect(() => numbered(sequence)).toThrow(
        expect.objectContaining({ kind: 'damaged', message: expect.stringContaining(`no number above ${highest}`) }),
      );
    }
  });

  it('keeps fields that this version does not know, because the bytes are what is signed', () => {
    const bytes = Buffer.concat([
      Manifest.encode(factsAbout(content, signer)).finish(),
      Buffer.from([0xf8, 0x07, 0x01]),
    ]);
    const signed = { manifest: bytes, signature: signer.sign('manifest', bytes), certificate: signer.certificate };
    expect(verifyManifest(signed, identity).signed.manifest).toEqual(bytes);
  });
});

describe('a receipt', () => {
  const manifest = manifestOf(content, signer);
  const holder = throwawayServer('FR2');
  const receipt = signReceipt({ manifestDigest: manifest.digest, receivedAt: 1234 }, holder.signer);

  it('proves who holds which backup since when', () => {
    expect(verifyReceipt(receipt, holder.identity, manifest.digest)).toMatchObject({ receivedAt: 1234 });
  });

  it('proves nothing for another backup, or from another holder', () => {
    expect(() => verifyReceipt(receipt, holder.identity, randomBytes(32))).toThrow(/another backup/);
    expect(() => verifyReceipt(receipt, identity, manifest.digest)).toThrow(/issued by/);
  });
});

describe('the head of the chain', () => {
  it('is read back after it was written, and null before', async () => {
    const folder = await temporaryFolder();
    const head = manifestOf(content, signer);
    expect(await readChainHead(folder, 'backup', identity)).toBeNull();
    await writeChainHead(folder, 'backup', head.signed);
    expect((await readChainHead(folder, 'backup', identity))?.digest).toEqual(head.digest);
  });

  it('that is damaged is an error that names the file', async () => {
    const folder = await temporaryFolder();
    await writeChainHead(folder, 'backup', manifestOf(content, signer).signed);
    await writeFile(join(folder, 'chain', 'backup.manifest'), 'garbage');
    await expect(readChainHead(folder, 'backup', identity)).rejects.toMatchObject({
      kind: 'damaged',
      message: expect.stringContaining('chain/backup.manifest'),
      hint: expect.stringContaining('Remove it'),
    });
  });

  it('of an identity that the server had before counts for nothing, unless it is damaged', async () => {
    const folder = await temporaryFolder();
    const former = manifestOf(content, signer).signed;
    const now = throwawayServer('FR1').identity;
    await writeChainHead(folder, 'backup', former);
    expect(await readChainHead(folder, 'backup', now)).toBeNull();
    await writeChainHead(folder, 'backup', { ...former, signature: randomBytes(64) });
    await expect(readChainHead(folder, 'backup', now)).rejects.toMatchObject({ kind: 'damaged' });
  });

  it('that cannot be read is not called damaged, and nobody is told to remove it', async () => {
    const folder = await temporaryFolder();
    await mkdir(join(folder, 'chain', 'backup.manifest'), { recursive: true });
    await expect(readChainHead(folder, 'backup', identity)).rejects.toMatchObject({
      kind: 'failed',
      message: expect.stringContaining('chain/backup.manifest cannot be read'),
      hint: undefined,
    });
  });
});
