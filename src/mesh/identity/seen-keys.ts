import { readFile } from 'node:fs/promises';
import { Failure } from '../terms/failure.js';
import { parseIdentity } from './identity.js';
import { type NodeCertificate, verifyNodeCertificate } from './node-certificate.js';

/** The newest node key that a node has seen of an identity, as `.state/epochs.json` has it. */
export interface SeenKey {
  readonly epoch: number;
  /** Fingerprint of the node key: two keys of one epoch cannot both be the server. */
  readonly key: string;
  /** In base64; an older version wrote none. */
  readonly certificate?: string;
}

/**
 * The newest key of each identity; none where there is no such file.
 * @throws Failure `damaged` when the file is there and cannot be read
 */
export async function readSeenKeys(file: string): Promise<Map<string, SeenKey>> {
  try {
    const entries: unknown = JSON.parse(await readFile(file, 'utf8'));
    if (typeof entries !== 'object' || entries === null || Array.isArray(entries)) throw new Error('it is no object');
    return new Map(Object.entries(entries).map(([identity, entry]) => [identity, parseSeenKey(identity, entry)]));
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return new Map();
    throw new Failure('damaged', `${file} cannot be read: ${Failure.from(cause).message}`, {
      cause,
      hint: 'It remembers which node keys are superseded. Restore it, or remove it if no server of the mesh was ever rebuilt.',
    });
  }
}

/**
 * What the certificate does not prove is not believed: one flipped bit would lock the right key out for good, or let an older
 * one in again.
 */
function parseSeenKey(identity: string, entry: Partial<SeenKey>): SeenKey {
  const { epoch, key, certificate } = entry;
  const issuer = parseIdentity(identity);
  if (!Number.isSafeInteger(epoch) || typeof key !== 'string') throw new Error('an entry is malformed');
  const seen = { epoch: epoch as number, key };
  if (certificate === undefined) return seen;
  if (!isSeen(verifyNodeCertificate(Buffer.from(certificate, 'base64'), issuer), seen)) {
    throw new Error(`what it has of ${identity} is not what the certificate says`);
  }
  return { ...seen, certificate };
}

export function isSeen(certificate: NodeCertificate, newest: SeenKey): boolean {
  return newest.epoch === certificate.epoch && newest.key === certificate.fingerprint;
}

/** Whether a key that was seen of the same identity locks this one out. */
export function locksOut(newest: SeenKey, certificate: NodeCertificate): boolean {
  return certificate.epoch <= newest.epoch && !isSeen(certificate, newest);
}
