import { createCipheriv, createDecipheriv, pbkdf2Sync, randomBytes } from 'node:crypto';
import { buffer } from 'node:stream/consumers';
import { gzipSync } from 'node:zlib';
import { pack } from 'tar-stream';

/** What the predecessor backed up, with modes that are not those that a restore gives. */
export const predecessorMembers: Readonly<Record<string, string>> = {
  'config.yaml': 'node:\n  name: FR1\n',
  'wireguard/private.key': 'wireguard private\n',
  'wireguard/public.key': 'wireguard public\n',
  'ssh/id_rsa': 'ssh private\n',
  'ssh/id_rsa.pub': 'ssh public\n',
  'ssh/authorized_keys': 'ssh authorized\n',
  '.restic.encrypted': 'restic key, encrypted\n',
  '.restic.salt': 'restic salt\n',
};

/** A tar.gz of these members. */
export async function tarGz(members: Readonly<Record<string, string>>): Promise<Buffer> {
  const archive = pack();
  for (const [name, content] of Object.entries(members)) archive.entry({ name, mode: 0o644 }, content);
  archive.finalize();
  return gzipSync(await buffer(archive));
}

/** Seals as the predecessor did: IV, then AES-256-CBC; with nothing but node:crypto. */
export function sealAsPredecessor(plaintext: Uint8Array, keyText: string): Buffer {
  const iv = randomBytes(16);
  const cipher = createCipheriv('aes-256-cbc', keyOf(keyText), iv);
  return Buffer.concat([iv, cipher.update(plaintext), cipher.final()]);
}

export function openAsPredecessor(sealed: Buffer, keyText: string): Buffer {
  const decipher = createDecipheriv('aes-256-cbc', keyOf(keyText), sealed.subarray(0, 16));
  return Buffer.concat([decipher.update(sealed.subarray(16)), decipher.final()]);
}

function keyOf(keyText: string): Buffer {
  return pbkdf2Sync(keyText, 'anemone-config-export', 100_000, 32, 'sha256');
}
