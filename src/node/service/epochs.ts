import { readFile } from 'node:fs/promises';
import { replaceFile } from '../../mesh/files/replace-file.js';
import type { Identity } from '../../mesh/identity/identity.js';
import type { NodeCertificate } from '../../mesh/identity/node-certificate.js';
import { Failure } from '../../mesh/terms/failure.js';
import type { Hostname } from '../../mesh/terms/hostname.js';
import type { Log } from '../../mesh/terms/log.js';

/** The newest node key seen of each identity: a rebuilt server locks its stolen predecessor out by coming back. */
export interface Epochs {
  /** Milliseconds since 1970, or 0 when the identity was never seen. */
  newest(identity: Identity): number;
  /** False when the certificate is superseded. A newer one is remembered, durably, before this resolves. */
  admit(certificate: NodeCertificate, name: Hostname): Promise<boolean>;
}

interface Seen {
  readonly epoch: number;
  /** Fingerprint of the node key: two keys of one epoch cannot both be the server. */
  readonly key: string;
}

/** @throws Failure `damaged` when the file is there and cannot be read: forgetting it would let a stolen key in again */
export async function openEpochs(file: string, log: Log): Promise<Epochs> {
  const seen = await readEpochs(file);
  let writing: Promise<void> = Promise.resolve();
  return {
    newest: (identity) => seen.get(identity)?.epoch ?? 0,
    async admit({ identity, epoch, fingerprint: key }, name) {
      const known = seen.get(identity);
      if (known?.epoch === epoch && known.key === key) return true;
      if (known !== undefined && epoch <= known.epoch) return false;
      writing = writing.catch(() => {}).then(() => replaceFile(file, serialise(seen, identity, { epoch, key })));
      await writing;
      const newer = seen.get(identity);
      if (newer !== undefined && newer.epoch >= epoch) return newer.epoch === epoch && newer.key === key;
      seen.set(identity, { epoch, key });
      if (known !== undefined) log.warn('node key superseded', { peer: name, since: new Date(epoch).toISOString() });
      return true;
    },
  };
}

function serialise(seen: ReadonlyMap<string, Seen>, identity: Identity, added: Seen): string {
  return `${JSON.stringify(Object.fromEntries([...seen, [identity, added]]), null, 2)}\n`;
}

async function readEpochs(file: string): Promise<Map<string, Seen>> {
  try {
    const seen = new Map<string, Seen>();
    for (const [identity, value] of Object.entries(JSON.parse(await readFile(file, 'utf8')) as Record<string, Seen>)) {
      if (!Number.isSafeInteger(value.epoch) || typeof value.key !== 'string') throw new Error('an entry is malformed');
      seen.set(identity, { epoch: value.epoch, key: value.key });
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
