import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { readSmallFile } from '../files/read-small-file.js';
import { replaceFile } from '../files/replace-file.js';
import { statsIfThere } from '../files/stats-if-there.js';
import { Failure } from '../terms/failure.js';
import { shellWord } from '../terms/shell-word.js';
import type { Identity } from './identity.js';
import {
  certificatePem,
  issueNodeCertificate,
  type NodeCertificate,
  readNodeCertificate,
  verifyNodeCertificate,
} from './node-certificate.js';
import type { DerivedKeys } from './recovery-key.js';
import { nodeSigner, type Signer } from './signer.js';

/** What a server proves itself with: its node key, and the certificate that its identity issued for it. */
export interface ServerIdentity {
  readonly identity: Identity;
  readonly certificate: NodeCertificate;
  readonly nodeKey: KeyObject;
  readonly signer: Signer;
}

/**
 * Makes a node key and its certificate, in memory.
 * @param subject the hostname, for people who look at the certificate
 * @param epoch milliseconds since 1970; must be newer than any that peers have seen of this identity
 */
export function makeServerIdentity(keys: DerivedKeys, subject: string, epoch: number): ServerIdentity {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  const certificate = issueNodeCertificate({
    identity: keys.identity,
    identityKey: keys.identityKey,
    nodePublicKey: publicKey,
    subject,
    epoch,
  });
  return serverIdentity(certificate, privateKey);
}

/** Writes node key (0600) and certificate into the state folder, replacing what is there. */
export async function storeServerIdentity(identity: ServerIdentity, folder: string): Promise<void> {
  await storeNodeKey(identity, folder);
  await storeCertificate(identity, folder);
}

/** Writes the node key alone, which is no identity yet. */
export function storeNodeKey(identity: ServerIdentity, folder: string): Promise<void> {
  return replaceFile(join(folder, 'node.key'), nodeKeyPem(identity));
}

/** Writes the certificate that makes the node key beside it an identity. */
export function storeCertificate({ certificate }: ServerIdentity, folder: string): Promise<void> {
  return replaceFile(join(folder, 'node.crt'), certificatePem(certificate.der));
}

const hint = 'Run `anemone-peer init` for a new server, or `anemone-peer restore` for one that is rebuilt.';

/** @throws Failure `config` when there is none, it cannot be read, is damaged, or key and certificate do not belong together */
export async function loadServerIdentity(folder: string): Promise<ServerIdentity> {
  const keyFile = join(folder, 'node.key');
  const certificateFile = join(folder, 'node.crt');
  const { nodeKey, certificate } = await readKeyAndCertificate(keyFile, certificateFile);
  try {
    verifyNodeCertificate(certificate.der, certificate.identity);
  } catch (cause) {
    throw new Failure('config', `${certificateFile} is damaged: ${Failure.from(cause).message}`, {
      cause,
      hint: 'Bring the file back if you have a copy; else make a new one with `anemone-peer restore`.',
    });
  }
  if (createPublicKey(nodeKey).equals(certificate.publicKey)) return serverIdentity(certificate, nodeKey);
  throw new Failure('config', `${keyFile} does not belong to ${certificateFile}`, { hint });
}

async function readKeyAndCertificate(
  keyFile: string,
  certificateFile: string,
): Promise<{ nodeKey: KeyObject; certificate: NodeCertificate }> {
  try {
    const nodeKey = createPrivateKey(await readSmallFile(keyFile, { follow: true }));
    return { nodeKey, certificate: readNodeCertificate(await readSmallFile(certificateFile, { follow: true })) };
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (code === 'EACCES') {
      throw new Failure('config', `the identity of this server may not be read: ${keyFile} with its node.crt`, {
        cause,
        hint: await whoMayRead(keyFile, certificateFile),
      });
    }
    const what =
      code === 'ENOENT' ? 'this server has no identity yet: there is no' : 'the identity of this server is unreadable:';
    const first = await findFirst(dirname(keyFile));
    const advice = first === null ? hint : `${first} Only where there is none: ${hint}`;
    throw new Failure('config', `${what} ${keyFile} with its node.crt`, { cause, hint: advice });
  }
}

/** The folder tells whose node it is: whoever else gets the files locks the node out. */
async function whoMayRead(keyFile: string, certificateFile: string): Promise<string> {
  const uid = process.geteuid?.();
  const folder = dirname(keyFile);
  const owner = await stat(folder).then(
    (stats) => stats.uid,
    () => null,
  );
  if (owner === uid) return `As root: chown ${uid} ${shellWord(keyFile)} ${shellWord(certificateFile)}`;
  const other = 'Run this as the user of the node, or as root.';
  // As after a restore by root into a folder of its own.
  const isOfRoot = owner === null || owner === 0;
  return isOfRoot
    ? `${other} Where this is the user of the node, as root: chown -R ${uid} ${shellWord(dirname(folder))}`
    : other;
}

/**
 * What a person looks for first where a state folder is missing: a new node key, made below a mount point, would lock out
 * the one on the disk.
 * @returns null where the folder is there
 */
export async function findFirst(folder: string): Promise<string | null> {
  const isMissing = (await statsIfThere(folder).catch(() => undefined)) === null;
  if (!isMissing) return null;
  const data = dirname(folder);
  return `Is the disk of ${data} mounted? If \`server.data\` was changed, move the content of the old folder there, with its .state.`;
}

export function nodeKeyPem(identity: ServerIdentity): string {
  return identity.nodeKey.export({ format: 'pem', type: 'pkcs8' }).toString();
}

function serverIdentity(certificate: NodeCertificate, nodeKey: KeyObject): ServerIdentity {
  return { identity: certificate.identity, certificate, nodeKey, signer: nodeSigner(certificate, nodeKey) };
}
