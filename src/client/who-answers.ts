import type { Identity } from '../mesh/identity/identity.js';
import type { ServerIdentity } from '../mesh/identity/server-identity.js';
import { askIdentity } from '../mesh/identity/trust.js';
import { formatAddress, type Peer } from '../mesh/peers/peer.js';
import type { Clock } from '../mesh/terms/clock.js';
import { Failure } from '../mesh/terms/failure.js';

/**
 * Why a peer could not be reached, in better words where there are any: in the handshake, a server with another identity
 * looks like a broken link. Whether somebody is there, and who, is worth one more question.
 * @param failure what the call ended with
 */
export async function whoAnswers(peer: Peer, self: ServerIdentity, clock: Clock, failure: Failure): Promise<Failure> {
  if (failure.kind !== 'unreachable') return failure;
  const shown = await askIdentity(peer.address, self, clock).catch(() => null);
  return shown === null || shown === peer.identity ? failure : anotherServer(peer, shown, failure);
}

export function anotherServer({ address, identity }: Omit<Peer, 'name'>, shown: Identity, cause: Failure): Failure {
  return new Failure(
    'untrusted',
    `another server answers at ${formatAddress(address)} (identity ${shown}, expected ${identity})`,
    { cause, hint: 'A server that was set up anew has another identity: peers must be told the new one.' },
  );
}
