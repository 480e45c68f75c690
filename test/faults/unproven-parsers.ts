import { Readable } from 'node:stream';
import { gzipSync } from 'node:zlib';
import { identityToRecipient } from 'age-encryption';
import { readArchive } from '../../src/client/restore/unpack/archive-reader.js';
import { parseKit } from '../../src/mesh/kit/parse-kit.js';
import { renderKit } from '../../src/mesh/kit/render-kit.js';
import { sealVpn } from '../../src/mesh/kit/seal-vpn.js';
import { type SignedKit, signKit, verifyKit } from '../../src/mesh/kit/signed-kit.js';
import { parseAddress } from '../../src/mesh/terms/address.js';
import { Failure } from '../../src/mesh/terms/failure.js';
import { framed, framedChunk, frameReader } from '../../src/mesh/wire/frames.js';
import { peerService } from '../../src/mesh/wire/methods.js';
import { rawTar } from '../client/restore/raw-tar.js';
import type { Parser } from './parsers.js';
import { FR1, FR2, serverOf } from './world.js';

const owner = serverOf('FR2');
const holder = serverOf('FR1');

/** What is read before anybody knows who wrote it: a kit out of a mailbox, what comes over a connection, what was sealed. */
export async function unprovenParsers(ageIdentity: string): Promise<readonly Parser[]> {
  return [kitParser(await kits(ageIdentity)), frames, archives];
}

/** What two of these servers would put into a kit: sealed, as it lies in a mailbox, and open, as it travels to peers. */
async function kits(ageIdentity: string): Promise<readonly SignedKit[]> {
  const recipient = await identityToRecipient(ageIdentity);
  const files = [{ path: '/etc/wireguard/wg0.conf', size: 12, content: '[Interface]\n' }];
  const armor = await sealVpn(files, [recipient]);
  const address = parseAddress('10.8.0.2:7443');
  const peers = [{ name: FR1, address: parseAddress('[fd00::1]:7443'), identity: holder.identity }];
  const facts = { server: FR2, identity: owner.identity, address, recipients: [recipient], peers };
  const sealed = { kind: 'sealed', files: files.map(({ path, size }) => ({ path, size })), armor } as const;
  return [sealed, { kind: 'open', files } as const].map((vpn) => signKit({ ...facts, vpn }, owner.signer));
}

/** A kit is read, and told of, before anybody knows who wrote it. */
function kitParser(signed: readonly SignedKit[]): Parser {
  const written = signed.map((each) => renderKit(each, { folder: '/srv/anemone', missing: [], writtenAt: null }));
  const genuine = signed.map(({ kit }) => JSON.stringify(kit));
  return {
    name: 'kit',
    weight: 4,
    valid: [...written, ...written.map((text) => text.replace(/^/gm, '> '))].map((text) => Buffer.from(text)),
    read(bytes) {
      try {
        const kit = JSON.stringify(verifyKit(parseKit(bytes, 'the kit'), owner.identity, 'the kit'));
        return genuine.includes(kit) ? null : 'a kit that nobody signed';
      } catch (thrown) {
        const { message } = thrown as Error;
        if (/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u.test(message))
          return `to tell ${JSON.stringify(message)} to a terminal`;
        throw thrown;
      }
    },
  };
}

/** The messages of an upload on the wire: in whichever pieces they come, they are the same. */
const frames: Parser = {
  name: 'frames',
  weight: 10,
  valid: [
    [
      ...framed(Buffer.from('0a0568656c6c6f', 'hex')),
      ...framedChunk(2, Buffer.alloc(300, 7)),
      ...framed(Buffer.of(26, 0)),
    ],
    [...framedChunk(2, Buffer.of(7)), ...framedChunk(3, Buffer.of(8)), ...framed(Buffer.alloc(0))],
  ].map((pieces) => Buffer.concat(pieces)),
  read(bytes) {
    const pieces = [bytes.length, 1, 7].map((size) => joined(bytes, Math.max(1, size)));
    return new Set(pieces).size === 1 ? null : `as ${pieces.join(' or as ')}, by the pieces in which it comes`;
  },
};

/** What a reader makes of bytes that come in pieces of a size; how it ends is a part of that. */
function joined(bytes: Buffer, size: number): string {
  const reader = frameReader(peerService.pushBackup.requests.limits);
  let told = '';
  try {
    for (let at = 0; at < bytes.length; at += size) {
      for (const part of reader.take(bytes.subarray(at, at + size))) {
        told += 'message' in part ? `|${part.message.toString('hex')}|` : part.bytes.toString('hex');
      }
    }
    return `${told}${reader.betweenMessages ? '' : '...'}`;
  } catch (thrown) {
    if (thrown instanceof Failure) return thrown.message;
    throw thrown;
  }
}

const archive = rawTar(
  { name: 'config/', type: '5' },
  { name: 'config/config.yaml', body: 'server: {}', pax: { mtime: '1700000000.5' } },
  { name: 'config/link', type: '2', linkname: '../etc/passwd' },
);

const archives: Parser = {
  name: 'archive',
  weight: 4,
  valid: [archive, gzipSync(archive)],
  async read(bytes) {
    let unpacked = 0;
    for await (const { body } of readArchive(Readable.from([bytes]), 100))
      for await (const piece of body) unpacked += piece.length;
    return unpacked <= 2 ** 20 ? null : `${unpacked} bytes`;
  },
};
