import { readFile } from 'node:fs/promises';
import { Failure } from '../terms/failure.js';
import type { NodeCertificate } from './node-certificate.js';

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
    const seen = new Map<string, SeenKey>();
    const entries = Object.entries(JSON.parse(await readFile(file, 'utf8')) as Record<string, SeenKey>);
    for (const [identity, value] of entries) {
      const { epoch, key, certificate } = value;
      if (!Number.isSafeInteger(epoch) || typeof key !== 'string') throw new Error('an entry is malformed');
      seen.set(identity, { epoch, key, ...(typeof certificate === 'string' ? { certificate } : {}) });
    }
    return seen;
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return new Map();
    throw new Failure('damaged', `${file} cannot be read: ${Failure.from(cause).message}`, {
      cause,
      hint: 'It remembers which node keys are superseded. Restore it, or remove it if no server of the mesh was ever rebuilt.',
    });
  }
}

export function isSeen(certificate: NodeCertificate, newest: SeenKey): boolean {
  return newest.epoch === certificate.epoch && newest.key === certificate.fingerprint;
}

/** Whether a key that was seen of the same identity locks this one out. */
export function locksOut(newest: SeenKey, certificate: NodeCertificate): boolean {
  return certificate.epoch <= newest.epoch && !isSeen(certificate, newest);
}
