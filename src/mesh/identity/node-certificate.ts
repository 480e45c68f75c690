import { createHash, type KeyObject, sign, X509Certificate } from 'node:crypto';
import { Failure } from '../terms/failure.js';
import { isMoment } from '../terms/moment.js';
import { bits, explicit, generalizedTime, integer, octets, oid, sequence, set, utcTime, utf8, yes } from './der.js';
import { type Identity, identityKey, parseIdentity, publicKeyBytes } from './identity.js';

/**
 * The certificate that ties a node key to its server's identity (X.509 v3, RFC 5280 and RFC 8410).
 *
 * Its issuer is `CN=<identity>` and its serial number is the epoch. Nobody looks at its dates: a machine with a wrong clock
 * must still be let in, and let others in, and what ends a node key is a newer epoch, not a date.
 */
export interface NodeCertificate {
  readonly der: Buffer;
  /** Who issued it: the identity of the server. Proven only once {@link verifyNodeCertificate} has passed. */
  readonly identity: Identity;
  /** When the node key was made, milliseconds since 1970 by its maker's clock. Of two, the newer one counts. */
  readonly epoch: number;
  readonly publicKey: KeyObject;
  /** SHA-256 of the public key, in base64. */
  readonly fingerprint: string;
}

/**
 * Epoch of a node key that only visits: a restore on a bare machine reads with it, and peers neither remember it nor take
 * a backup from it. A living server is not locked out by somebody trying a restore elsewhere.
 */
export const visitorEpoch = 1;

const ed25519 = sequence(oid('2b6570'));
const commonName = (text: string): Buffer => sequence(set(sequence(oid('550403'), utf8(text))));
const critical = (id: string, content: Buffer): Buffer => sequence(oid(id), yes, octets(content));
const always = sequence(utcTime('200101000000Z'), generalizedTime('99991231235959Z'));

const basicConstraints = '551d13';
const keyUsage = '551d0f';
const extendedKeyUsage = '551d25';
const serverAuth = '2b06010505070301';
const clientAuth = '2b06010505070302';

/** Certifies a node key; `subject` is for people and is never read. */
export function issueNodeCertificate(options: {
  readonly identity: Identity;
  readonly identityKey: KeyObject;
  readonly nodePublicKey: KeyObject;
  readonly subject: string;
  readonly epoch: number;
}): NodeCertificate {
  const extensions = [
    critical(basicConstraints, sequence()),
    critical(keyUsage, bits(Buffer.from([0x80]), 7)),
    sequence(oid(extendedKeyUsage), octets(sequence(oid(serverAuth), oid(clientAuth)))),
  ];
  const body = sequence(
    explicit(0, integer(2n)),
    integer(BigInt(options.epoch)),
    ed25519,
    commonName(options.identity),
    always,
    commonName(options.subject),
    options.nodePublicKey.export({ format: 'der', type: 'spki' }),
    explicit(3, sequence(...extensions)),
  );
  return ofSomeMoment(readNodeCertificate(sequence(body, ed25519, bits(sign(null, body, options.identityKey)))));
}

export function certificatePem(certificate: Buffer): string {
  const lines = certificate.toString('base64').replace(/.{64}(?=.)/g, '$&\n');
  return `-----BEGIN CERTIFICATE-----\n${lines}\n-----END CERTIFICATE-----\n`;
}

/**
 * Reads a node certificate; proves nothing about who made it.
 * @throws Failure `untrusted` when it has another shape
 */
export function readNodeCertificate(bytes: Uint8Array): NodeCertificate {
  try {
    const certificate = new X509Certificate(bytes);
    const epoch = Number(BigInt(`0x${certificate.serialNumber}`));
    const { publicKey } = certificate;
    if (publicKey.asymmetricKeyType !== 'ed25519' || !Number.isSafeInteger(epoch)) throw new Error();
    return {
      der: Buffer.from(certificate.raw),
      // Not `issuer`, which is text with escapes.
      identity: parseIdentity(String(certificate.toLegacyObject().issuer.CN)),
      epoch,
      publicKey,
      fingerprint: createHash('sha256').update(publicKeyBytes(publicKey)).digest('base64'),
    };
  } catch (cause) {
    throw new Failure('untrusted', 'this is not the certificate of a node', { cause });
  }
}

function ofSomeMoment(certificate: NodeCertificate): NodeCertificate {
  if (isMoment(certificate.epoch)) return certificate;
  throw new Failure('untrusted', 'this is not the certificate of a node: no calendar has its epoch');
}

/** Certificates that were proven, by the identity that issued them: a server has one for all its backups and calls. */
const proven = new Map<string, NodeCertificate>();
const mostProven = 1000;
/** Bytes. A node certificate has about 400; an identity could issue itself one of any size, again and again. */
const longestCertificate = 1024;

/**
 * Reads a node certificate and proves that the identity issued it.
 * @throws Failure `untrusted`
 */
export function verifyNodeCertificate(bytes: Uint8Array, identity: Identity): NodeCertificate {
  return ofSomeMoment(verifyWhateverEpoch(bytes, identity));
}

/**
 * As {@link verifyNodeCertificate}, for what version 0.1.0 has written down: it took epochs that no calendar has.
 * @throws Failure `untrusted`
 */
export function verifyWhateverEpoch(bytes: Uint8Array, identity: Identity): NodeCertificate {
  if (bytes.length > longestCertificate) {
    throw new Failure('untrusted', `the certificate has ${bytes.length} bytes: it is not that of a node`);
  }
  const key = `${identity} ${createHash('sha256').update(bytes).digest('base64')}`;
  const known = proven.get(key);
  if (known !== undefined) return known;
  const certificate = readNodeCertificate(bytes);
  // OpenSSL passes over what follows a certificate: one would be endlessly many, each remembered by itself.
  if (!certificate.der.equals(bytes)) throw new Failure('untrusted', 'the certificate is followed by other bytes');
  if (certificate.identity !== identity) {
    throw new Failure('untrusted', `the certificate was issued by ${certificate.identity}, not by ${identity}`);
  }
  if (!new X509Certificate(bytes).verify(identityKey(identity))) {
    throw new Failure('untrusted', `the certificate is not signed by ${identity}`);
  }
  if (proven.size >= mostProven) proven.clear();
  proven.set(key, certificate);
  return certificate;
}

/** The epoch of a node certificate that the identity issued; 0 for anything else. */
export function provenEpoch(certificate: Uint8Array, identity: Identity): number {
  try {
    return verifyNodeCertificate(certificate, identity).epoch;
  } catch {
    return 0;
  }
}
