import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { identityToRecipient } from 'age-encryption';
import { parseDuration } from '../../src/mesh/config/duration.js';
import { parseConfig } from '../../src/mesh/config/load.js';
import { ageSealer } from '../../src/mesh/envelope/age.js';
import { openEnvelope } from '../../src/mesh/envelope/open.js';
import { HeldBackup, type SignedManifest, SignedReceipt } from '../../src/mesh/generated/anemone/backup/v1/backup.js';
import {
  FetchBackupRequest,
  ListBackupsRequest,
  OfferBackupRequest,
  ProveBackupRequest,
  PushBackupRequest,
} from '../../src/mesh/generated/anemone/peer/v1/peer.js';
import { parseIdentity } from '../../src/mesh/identity/identity.js';
import { verifyNodeCertificate } from '../../src/mesh/identity/node-certificate.js';
import { deriveKeys, formatRecoveryKey, parseRecoveryKey } from '../../src/mesh/identity/recovery-key.js';
import { verifyManifest } from '../../src/mesh/manifest/manifest.js';
import { signReceipt, verifyReceipt } from '../../src/mesh/manifest/receipt.js';
import { formatAddress, parseAddress } from '../../src/mesh/terms/address.js';
import { formatBackupName, parseBackupName } from '../../src/mesh/terms/backup-name.js';
import { parseByteSize } from '../../src/mesh/terms/byte-size.js';
import { parseHostname } from '../../src/mesh/terms/hostname.js';
import { proveSidecar } from '../../src/node/vault/held-entry.js';
import { unprovenParsers } from './unproven-parsers.js';
import { FR2, sampleOf, serverOf } from './world.js';

/** Something that reads what others wrote. */
export interface Parser {
  readonly name: string;
  /** How often it is tried, relative to the others: what costs much is tried less. */
  readonly weight: number;
  readonly valid: readonly Buffer[];
  /**
   * Reads the bytes. Throws a Failure, or what the decoder of a message throws, when they are no good.
   * @returns null, or what was accepted that must not be
   */
  read(bytes: Buffer): string | null | Promise<string | null>;
}

const owner = serverOf('FR2');
const holder = serverOf('FR1');
const sample = sampleOf('FR2', 1, 100_000);
const { signed, digest, facts } = sample.manifest;
const receipt = signReceipt({ manifestDigest: digest, receivedAt: 1_700_000_000_000 }, holder.signer);
const recovery = { secret: Buffer.alloc(32, 7) };

const same = (a: Uint8Array, b: Uint8Array): boolean => Buffer.from(a).equals(b);
const message = (encoded: Uint8Array): Buffer => Buffer.from(encoded);
const texts = (...lines: readonly string[]): Buffer[] => lines.map((line) => Buffer.from(line));

function checkManifest(read: SignedManifest): string | null {
  const verified = verifyManifest(read, owner.identity);
  if (!same(verified.signed.manifest, signed.manifest)) return 'a manifest that nobody signed';
  return same(verified.signed.certificate, signed.certificate) ? null : 'a changed certificate of a manifest';
}

const signedMessages: readonly Parser[] = [
  {
    name: 'OfferBackupRequest',
    weight: 20,
    valid: [message(OfferBackupRequest.encode({ manifest: signed }).finish())],
    read(bytes) {
      const { manifest } = OfferBackupRequest.decode(bytes);
      return manifest === undefined ? null : checkManifest(manifest);
    },
  },
  {
    name: 'SignedReceipt',
    weight: 20,
    valid: [message(SignedReceipt.encode(receipt).finish())],
    read(bytes) {
      const read = SignedReceipt.decode(bytes);
      verifyReceipt(read, holder.identity, digest);
      return same(read.receipt, receipt.receipt) ? null : 'a receipt that nobody signed';
    },
  },
  {
    name: 'sidecar',
    weight: 20,
    valid: [message(HeldBackup.encode({ manifest: signed, receipt }).finish())],
    read(bytes) {
      const { entry } = proveSidecar(bytes, { owner: FR2, name: facts.name, own: false, identity: owner.identity });
      return entry.digest.equals(digest) ? null : 'a sidecar that nobody signed';
    },
  },
  {
    name: 'node certificate',
    weight: 20,
    valid: [owner.certificate.der],
    read(bytes) {
      const { der } = verifyNodeCertificate(bytes, owner.identity);
      return same(der, owner.certificate.der) ? null : 'a certificate that nobody issued';
    },
  },
];

const requests: readonly Parser[] = [
  {
    name: 'PushBackupRequest',
    weight: 15,
    valid: [
      message(
        PushBackupRequest.encode({
          part: { $case: 'header', value: { manifestDigest: digest, range: { offset: 65_536, length: 34_464 } } },
        }).finish(),
      ),
      message(PushBackupRequest.encode({ part: { $case: 'chunk', value: sample.content.subarray(0, 100) } }).finish()),
      message(PushBackupRequest.encode({ part: { $case: 'end', value: {} } }).finish()),
    ],
    read(bytes) {
      PushBackupRequest.decode(bytes);
      return null;
    },
  },
  {
    name: 'requests of a reader',
    weight: 10,
    valid: [
      message(
        FetchBackupRequest.encode({
          name: facts.name,
          offset: 65_536,
          length: 34_464,
          manifestDigest: Buffer.alloc(32, 7),
        }).finish(),
      ),
      message(
        ListBackupsRequest.encode({ owner: 'FR2', set: 'backup', brief: true, manifestDigests: [digest] }).finish(),
      ),
      message(ProveBackupRequest.encode({ name: facts.name, leaves: [0, 1, 2 ** 40] }).finish()),
    ],
    read(bytes) {
      for (const type of [FetchBackupRequest, ListBackupsRequest, ProveBackupRequest]) type.decode(bytes);
      return null;
    },
  },
];

const words: readonly Parser[] = [
  {
    name: 'backup name',
    weight: 30,
    valid: texts(facts.name, 'anemone-db_1-a-b-c-20261123-010000.enc'),
    read(bytes) {
      const text = bytes.toString();
      const name = parseBackupName(text);
      if (formatBackupName(name) !== text) return `the name ${JSON.stringify(text)}, which is spelt differently`;
      return /[/\\\0]|^\.|\.\./.test(text) ? `the name ${JSON.stringify(text)}, which leaves its folder` : null;
    },
  },
  {
    name: 'hostname',
    weight: 20,
    valid: texts('FR1', 'a-server-of-63-letters'),
    read(bytes) {
      const text = bytes.toString();
      return /^[A-Za-z0-9-]{1,63}$/.test(parseHostname(text)) ? null : `the hostname ${JSON.stringify(text)}`;
    },
  },
  {
    name: 'identity',
    weight: 10,
    valid: texts(owner.identity),
    read: (bytes) => (/^[A-Za-z0-9+/]{43}=$/.test(parseIdentity(bytes.toString())) ? null : 'an identity that is none'),
  },
  {
    name: 'recovery key',
    weight: 20,
    valid: texts(formatRecoveryKey(recovery)),
    read: (bytes) =>
      same(parseRecoveryKey(bytes.toString()).secret, recovery.secret) ? null : 'another recovery key as right',
  },
  {
    name: 'address, size, duration',
    weight: 15,
    valid: texts('10.8.0.1:7443', '[fd00::1]:7443', '10GB', '512MiB', '5m'),
    read(bytes) {
      const text = bytes.toString();
      for (const parse of [(each: string) => formatAddress(parseAddress(each)), parseByteSize, parseDuration]) {
        try {
          const value = parse(text);
          if (typeof value === 'number' && !(value >= 0 && Number.isFinite(value))) return `the number ${value}`;
        } catch (thrown) {
          if (!(thrown instanceof Error) || thrown.name !== 'Failure') throw thrown;
        }
      }
      return null;
    },
  },
];

/** All of them; what is sealed has to be made first. */
export async function allParsers(root: string): Promise<readonly Parser[]> {
  const { ageIdentity } = deriveKeys(recovery);
  const plaintext = Buffer.alloc(300, 'plaintext ');
  const sealed = await buffer(ageSealer([await identityToRecipient(ageIdentity)]).seal(once(plaintext)));
  return [
    ...signedMessages,
    ...requests,
    ...words,
    ...(await unprovenParsers(ageIdentity)),
    {
      name: 'age envelope',
      weight: 3,
      valid: [sealed],
      async read(bytes) {
        const opened = await openEnvelope(once(bytes), { ageIdentities: [ageIdentity] }, 'age');
        return (await buffer(opened.plaintext)).equals(plaintext) ? null : 'a plaintext that nobody sealed';
      },
    },
    {
      name: 'configuration',
      weight: 1,
      valid: ['minimal', 'example'].map((name) => readFileSync(join(root, `config/${name}.yaml`))),
      read(bytes) {
        const { config } = parseConfig('/config/config.yaml', bytes.toString());
        return config.server.data.startsWith('/') ? null : 'a configuration without a folder';
      },
    },
  ];
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}
