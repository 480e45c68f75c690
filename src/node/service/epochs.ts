import { replaceFile } from '../../mesh/files/replace-file.js';
import type { Identity } from '../../mesh/identity/identity.js';
import { type NodeCertificate, visitorEpoch } from '../../mesh/identity/node-certificate.js';
import { formatSeenKeys, isSameKey, locksOut, readSeenKeys } from '../../mesh/identity/seen-keys.js';
import { Failure } from '../../mesh/terms/failure.js';
import type { Hostname } from '../../mesh/terms/hostname.js';
import type { Log } from '../../mesh/terms/log.js';
import { isMoment } from '../../mesh/terms/moment.js';
import { turnsOf } from '../../mesh/terms/turns.js';

/** The newest node key seen of each identity: a rebuilt server locks its stolen predecessor out by coming back. */
export interface Epochs {
  /** Undefined when the identity was never seen, or only with a key that is refused now: its epoch is in no calendar. */
  newest(identity: Identity): NodeCertificate | undefined;
  /** Whether a newer key that was seen locks this one out. A visitor is superseded by nobody. */
  isSuperseded(certificate: NodeCertificate): boolean;
  /** False when the certificate is superseded. A newer one is remembered, durably, before this resolves. */
  admit(certificate: NodeCertificate, name: Hostname): Promise<boolean>;
  /** Calls back with each newer key of an identity that is admitted: whoever has an older one is locked out from then on. */
  whenNewer(follow: (newest: NodeCertificate) => void): void;
  /** Resolves when nothing is being written. */
  settled(): Promise<unknown>;
}

/**
 * @param rebuilt awaited when an identity that is known has a newer key: before that is remembered, so that it happens again where
 *   it was cut off, and once more when whoever has an older key is locked out
 * @throws Failure `damaged` when the file is there and cannot be read: forgetting it would let a stolen key in again
 */
export async function openEpochs(
  file: string,
  log: Log,
  rebuilt: (name: Hostname) => Promise<void> = async () => {},
): Promise<Epochs> {
  const seen = await readSeenKeys(file);
  const followers: ((newest: NodeCertificate) => void)[] = [];
  const inTurn = turnsOf(1);
  /** Newer keys that the disk did not take, by fingerprint: told once each. */
  const unsaved = new Set<string>();
  const save = async (certificate: NodeCertificate, name: Hostname): Promise<void> => {
    try {
      await replaceFile(file, formatSeenKeys(new Map([...seen, [certificate.identity, certificate]])));
    } catch (thrown) {
      if (!unsaved.has(certificate.fingerprint)) {
        const reason = Failure.from(thrown).message;
        log.error('newer node key not remembered: older ones are let in until it is', { peer: name, reason });
      }
      unsaved.add(certificate.fingerprint);
      throw thrown;
    }
  };
  const decide = async (certificate: NodeCertificate, name: Hostname): Promise<boolean> => {
    const { identity, epoch } = certificate;
    const known = seen.get(identity);
    if (known !== undefined && isSameKey(certificate, known)) return true;
    if (known !== undefined && locksOut(known, certificate)) return false;
    if (known !== undefined) await rebuilt(name);
    await save(certificate, name);
    seen.set(identity, certificate);
    if (known !== undefined) {
      for (const follow of followers) follow(certificate);
      await rebuilt(name).catch((thrown) => {
        log.warn('what an older key gave may count still', { peer: name, reason: Failure.from(thrown).message });
      });
      log.warn('node key superseded', { peer: name, since: new Date(epoch).toISOString() });
    }
    return true;
  };
  return {
    newest(identity) {
      const newest = seen.get(identity);
      return newest !== undefined && isMoment(newest.epoch) ? newest : undefined;
    },
    isSuperseded(certificate) {
      const newest = seen.get(certificate.identity);
      return newest !== undefined && certificate.epoch !== visitorEpoch && locksOut(newest, certificate);
    },
    admit(certificate, name) {
      const known = seen.get(certificate.identity);
      // Nearly every call: none of them waits until the key of another server is on the disk.
      if (known !== undefined && isSameKey(certificate, known)) return Promise.resolve(true);
      // In turn: of two new keys that call at once, the file has to end with the newer one.
      return inTurn(() => decide(certificate, name));
    },
    whenNewer: (follow) => void followers.push(follow),
    settled: () => inTurn(async () => {}),
  };
}
