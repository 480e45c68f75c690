import type { NodeCertificate } from '../identity/node-certificate.js';
import { locksOut } from '../identity/seen-keys.js';
import { Failure } from '../terms/failure.js';
import type { Peer } from './peer.js';

/**
 * A server that was rebuilt is called where it was before, and the lost machine may answer there still: it has the same VPN key.
 * @param newest the newest node key that was seen of the peer
 * @throws Failure `untrusted` when that one locks the key of whoever answers out
 */
export function refuseSuperseded(
  { name }: Peer,
  certificate: NodeCertificate,
  newest: NodeCertificate | undefined,
): void {
  if (newest === undefined || !locksOut(newest, certificate)) return;
  throw new Failure('untrusted', `a superseded node key answers there: ${name} was rebuilt with a newer one`, {
    // The rebuilt one may be there again at the next try.
    retryable: true,
    hint:
      `Find out which machine answers there. If it is the one that was lost or stolen, give the rebuilt ${name} a VPN key of its ` +
      'own, and take the former one out on every server. If it is the right one, bring it back with `anemone-peer restore` there.',
  });
}
