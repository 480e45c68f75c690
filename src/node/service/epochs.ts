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
  /**
   * False when the certificate is superseded. A newer one counts at once, and is remembered, durably, before this resolves.
   * @throws the error of a disk that does not take it: it is tried again at the next call
   */
  admit(certificate: NodeCertificate, name: Hostname): Promise<boolean>;
  /** Calls back with each newer key of an identity that is seen: whoever has an older one is locked out from then on. */
  whenNewer(follow: (newest: NodeCertificate) => void): void;
  /** Resolves when nothing is being written. */
  settled(): Promise<unknown>;
}

/** @throws Failure `damaged` when the file is there and cannot be read: forgetting it would let a stolen key in again */
export async function openEpochs(file: string, log: Log): Promise<Epochs> {
  /** What the file has. */
  let kept: ReadonlyMap<string, NodeCertificate> = await readSeenKeys(file);
  const seen = new Map(kept);
  const followers: ((newest: NodeCertificate) => void)[] = [];
  const inTurn = turnsOf(1);
  /** Fingerprints of newer keys that the disk did not take: told once each. */
  const reported = new Set<string>();
  const isNewestOf = (keys: ReadonlyMap<string, NodeCertificate>, certificate: NodeCertificate): boolean => {
    const newest = keys.get(certificate.identity);
    return newest !== undefined && isSameKey(certificate, newest);
  };
  const keep = async (): Promise<void> => {
    const all = new Map(seen);
    await replaceFile(file, formatSeenKeys(all));
    kept = all;
  };
  const decide = async (certificate: NodeCertificate, name: Hostname): Promise<boolean> => {
    const { identity, epoch, fingerprint } = certificate;
    const known = seen.get(identity);
    if (known !== undefined && locksOut(known, certificate)) return false;
    // Before the disk is asked: where it takes nothing, a stolen key would have more rights than the server that was rebuilt.
    seen.set(identity, certificate);
    if (known !== undefined && !isSameKey(certificate, known)) {
      for (const follow of followers) follow(certificate);
      log.warn('node key superseded', { peer: name, since: new Date(epoch).toISOString() });
    }
    if (isNewestOf(kept, certificate)) return true;
    await keep().catch((thrown) => {
      const reason = Failure.from(thrown).message;
      if (!reported.has(fingerprint)) {
        log.error('newer node key not remembered: older ones are let in again if the node restarts before it is', {
          peer: name,
          reason,
        });
      }
      reported.add(fingerprint);
      throw thrown;
    });
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
      // Nearly every call: none of them waits until the key of another server is on the disk.
      if (isNewestOf(seen, certificate) && isNewestOf(kept, certificate)) return Promise.resolve(true);
      // In turn: of two new keys that call at once, the file has to end with the newer one.
      return inTurn(() => decide(certificate, name));
    },
    whenNewer: (follow) => void followers.push(follow),
    settled: () => inTurn(async () => {}),
  };
}
