import { createHash } from 'node:crypto';
import { buffer } from 'node:stream/consumers';
import { brotliCompressSync, constants, gzipSync } from 'node:zlib';
import { armor, generateX25519Identity, identityToRecipient } from 'age-encryption';
import { pack } from 'tar-stream';
import { describe, expect, it } from 'vitest';
import { ageSealer } from '../../../src/mesh/envelope/age.js';
import { cbc1Sealer } from '../../../src/mesh/envelope/anemone-cbc1.js';
import { plaintextKind } from '../../../src/mesh/envelope/looks-plain.js';
import { noise, whole } from './streams.js';

const hex = (digits: string): Buffer => Buffer.concat([Buffer.from(digits, 'hex'), noise(600)]);
const ascii = (text: string): Buffer => Buffer.concat([Buffer.from(text, 'latin1'), noise(600)]);

describe('plaintext is recognised', () => {
  it('in gzip of every level', () => {
    for (const level of [constants.Z_DEFAULT_COMPRESSION, 0, 1, 6, 9]) {
      expect(plaintextKind(gzipSync(noise(1000), { level }))).toBe('gzip');
    }
  });

  it('in a tar archive, which has its mark far behind', async () => {
    const archive = pack();
    archive.entry({ name: 'config.yaml' }, 'a: 1');
    archive.finalize();
    expect(plaintextKind(await buffer(archive))).toBe('tar');
  });

  const beginnings: readonly (readonly [kind: string, head: Buffer])[] = [
    ['zip', hex('504b0304140000000800')],
    ['zip', Buffer.from('504b050600000000000000000000000000000000', 'hex')],
    ['zstd', hex('28b52ffd2458')],
    ['zstd', hex('502a4d180400000020')],
    ['xz', hex('fd377a585a000004')],
    ['bzip2', hex('425a6839314159265359')],
    ['lz4', hex('04224d186440')],
    ['lzip', hex('4c5a49500114')],
    ['lzop', hex('894c5a4f000d0a1a0a')],
    ['7z', hex('377abcaf271c0004')],
    ['rar', hex('526172211a0701')],
    ['cpio', ascii('070701000A')],
    ['Debian package', ascii('!<arch>\ndebian-binary')],
    ['RPM package', hex('edabeedb03000000')],
    ['pg_dump', ascii('PGDMP\x01\x0e')],
    ['SQLite database', ascii('SQLite format 3\0\x10\0')],
    ['Redis dump', ascii('REDIS0011')],
    ['btrfs stream', ascii('btrfs-stream\0\x01')],
    ['disk image (qcow2)', hex('514649fb00000003')],
    ['PDF', ascii('%PDF-1.7\n')],
    ['ELF program', hex('7f454c460201010000')],
    ['PNG', hex('89504e470d0a1a0a')],
    ['JPEG', ascii('\xff\xd8\xff\xe0\0\x10JFIF\0')],
    ['zeros', Buffer.alloc(1024)],
    ['an empty file', Buffer.alloc(0)],
    ['HTML', Buffer.from('\n<!DOCTYPE html><html><title>502 Bad Gateway</title></html>')],
    ['HTML', Buffer.from('<html><head></head></html>')],
    ['XML', Buffer.from('<?xml version="1.0" encoding="UTF-8"?><a/>')],
    ['JSON', Buffer.from('{"error": "unauthorized", "status": 401, "detail": null}')],
    ['YAML', Buffer.from('---\nserver:\n  name: FR1\n')],
    ['text', Buffer.from('-- MySQL dump 10.19  Distrib 10.3.39-MariaDB, for debian-linux-gnu\n')],
    ['text', Buffer.from('ok\n')],
    ['text', Buffer.from('Sauvegarde de la clé privée — ключ — 鍵 — 🔑 '.repeat(30))],
    ['text', Buffer.from('ключ от сервера лежит в сейфе '.repeat(30))],
    ['text', Buffer.from("La cl\xe9 du serveur est gard\xe9e dans le coffre \xe0 l'h\xf4tel, dit-il encore", 'latin1')],
    ['text', ascii('a line of text that is longer than the sixty-four bytes that are looked at')],
    ['text', Buffer.from('-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEA\n')],
  ];
  it.each(beginnings)('in %s', (kind, head) => {
    expect(plaintextKind(head)).toBe(kind);
  });
});

describe('ciphertext is not called plaintext', () => {
  it('in age files, in binary or in armor, to one or to many', async () => {
    const recipient = await identityToRecipient(await generateX25519Identity());
    for (const recipients of [[recipient], Array.from({ length: 20 }, () => recipient)]) {
      const file = await buffer(ageSealer(recipients).seal(whole('text')));
      expect(plaintextKind(file)).toBeNull();
      expect(plaintextKind(file.subarray(0, 512))).toBeNull();
      expect(plaintextKind(Buffer.from(armor.encode(file)))).toBeNull();
      expect(plaintextKind(Buffer.from(`\r\n ${armor.encode(file)}`))).toBeNull();
    }
  });

  it('in the smallest anemone-cbc1 files', async () => {
    const sealer = cbc1Sealer('key');
    for (let attempt = 0; attempt < 20; attempt += 1) {
      expect(plaintextKind(await buffer(sealer.seal(whole('x'))))).toBeNull();
    }
  });

  it('in 200,000 heads of random bytes, of the shortest length that an envelope has', () => {
    for (let index = 0; index < 100_000; index += 1) {
      const random = createHash('sha512').update(`head ${index}`).digest();
      expect(plaintextKind(random.subarray(0, 32)) ?? plaintextKind(random.subarray(32))).toBeNull();
    }
  });

  it('after two or three bytes that chance may write', () => {
    for (const digits of ['1f8b', '1f8b08ff', '425a68', 'ffd8ff', '504b', '28b52f', '7f454c46ff']) {
      expect(plaintextKind(hex(digits))).toBeNull();
    }
  });

  it('in what has no mark and no text: this is known not to be seen', () => {
    expect(plaintextKind(brotliCompressSync(noise(1000)))).toBeNull();
  });
});
