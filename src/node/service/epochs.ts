import { replaceFile } from '../../mesh/files/replace-file.js';
import type { Identity } from '../../mesh/identity/identity.js';
import type { NodeCertificate } from '../../mesh/identity/node-certificate.js';
import { isSeen, locksOut, readSeenKeys, type SeenKey } from '../../mesh/identity/seen-keys.js';
import type { Hostname } from '../../mesh/terms/hostname.js';
import type { Log } from '../../mesh/terms/log.js';

/** The newest node key seen of each identity: a rebuilt server locks its stolen predecessor out by coming back. */
export interface Epochs {
  newest(identity: Identity): NewestKey;
  /** The same as it is remembered; undefined when the identity was never seen. */
  seen(identity: Identity): SeenKey | undefined;
  /** False when the certificate is superseded. A newer one is remembered, durably, before this resolves. */
  admit(certificate: NodeCertificate, name: Hostname): Promise<boolean>;
  /** Calls back with each newer key of an identity that is admitted: whoever has an older one is locked out from then on. */
  whenNewer(follow: (newest: NodeCertificate) => void): void;
  /** Resolves when nothing is being written. */
  settled(): Promise<unknown>;
}

/** The newest node key seen of an identity. */
export interface NewestKey {
  /** Milliseconds since 1970, or 0 when the identity was never seen. */
  readonly epoch: number;
  /** The node certificate in DER, which proves the epoch to its server; empty while there is none. */
  readonly certificate: Buffer;
}

/**
 * @param rebuilt awaited when an identity that is known has a newer key, before that is remembered: so it happens again where it
 *   was cut off
 * @throws Failure `damaged` when the file is there and cannot be read: forgetting it would let a stolen key in again
 */
export async function openEpochs(
  file: string,
  log: Log,
  rebuilt: (name: Hostname) => Promise<void> = async () => {},
): Promise<Epochs> {
  const seen = await readSeenKeys(file);
  const followers: ((newest: NodeCertificate) => void)[] = [];
  let last: Promise<unknown> = Promise.resolve();
  const decide = async (certificate: NodeCertificate, name: Hostname): Promise<boolean> => {
    const { identity, epoch, fingerprint: key, der } = certificate;
    const known = seen.get(identity);
    const isKnown = known !== undefined && isSeen(certificate, known);
    if (isKnown && known.certificate !== undefined) return true;
    if (known !== undefined && locksOut(known, certificate)) return false;
    const isNewer = known !== undefined && !isKnown;
    if (isNewer) await rebuilt(name);
    const newest = { epoch, key, certificate: der.toString('base64') };
    const written = replaceFile(file, serialise(seen, identity, newest));
    // A disk that cannot take the certificate of a known key is no reason to refuse its server.
    await (isKnown ? written.catch(() => {}) : written);
    seen.set(identity, newest);
    if (isNewer) {
      for (const follow of followers) follow(certificate);
      log.warn('node key superseded', { peer: name, since: new Date(epoch).toISOString() });
    }
    return true;
  };
  return {
    newest(identity) {
      const { epoch = 0, certificate = '' } = seen.get(identity) ?? {};
      return { epoch, certificate: Buffer.from(certificate, 'base64') };
    },
    seen: (identity) => seen.get(identity),
    admit(certificate, name) {
      const known = seen.get(certificate.identity);
      // Nearly every call: none of them waits until the key of another server is on the disk.
      if (known?.certificate !== undefined && isSeen(certificate, known)) return Promise.resolve(true);
      // In turn: of two new keys that call at once, the file has to end with the newer one.
      const decision = last.then(() => decide(certificate, name));
      last = decision.catch(() => {});
      return decision;
    },
    whenNewer: (follow) => void followers.push(follow),
    settled: () => last,
  };
}

function serialise(seen: ReadonlyMap<string, SeenKey>, identity: Identity, added: SeenKey): string {
  return `${JSON.stringify(Object.fromEntries([...seen, [identity, added]]), null, 2)}\n`;
}
