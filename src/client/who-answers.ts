import type { Identity } from '../mesh/identity/identity.js';
import type { ServerIdentity } from '../mesh/identity/server-identity.js';
import { askIdentity } from '../mesh/identity/trust.js';
import { describePeer, type Peer } from '../mesh/peers/peer.js';
import type { Clock } from '../mesh/terms/clock.js';
import type { Failure } from '../mesh/terms/failure.js';
import { anotherServer, isAnotherServer } from '../mesh/wire/another-server.js';

/**
 * Why a peer could not be called, in better words where there are any: that another server answers there is known from the
 * handshake, and which one is worth one more question.
 * @param failure what the call ended with
 */
export async function whoAnswers(peer: Peer, self: ServerIdentity, clock: Clock, failure: Failure): Promise<Failure> {
  if (!isAnotherServer(failure.cause)) return failure;
  const shown = await askIdentity(peer.address, self, clock).catch(() => null);
  return shown === null || shown === peer.identity ? failure : wrongIdentity(peer, shown, failure);
}

/** Another server answers in the place of a peer, and has shown who it is. */
export function wrongIdentity(peer: Peer, shown: Identity, cause: Failure): Failure {
  return anotherServer('untrusted', describePeer(peer), cause, `identity ${shown}, expected ${peer.identity}`);
}
