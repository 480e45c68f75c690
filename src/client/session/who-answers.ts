import type { ServerIdentity } from '../../mesh/identity/server-identity.js';
import { connectTo } from '../../mesh/peers/connection.js';
import { getNode } from '../../mesh/peers/get-node.js';
import { describePeer, type Peer } from '../../mesh/peers/peer.js';
import type { Clock } from '../../mesh/terms/clock.js';
import { Failure } from '../../mesh/terms/failure.js';
import { hadConnection } from '../../mesh/wire/calls.js';

export interface Asking {
  readonly self: ServerIdentity;
  readonly clock: Clock;
  /** Aborts when nobody waits for better words any more. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Why a peer could not be called, in better words where there are any: whether a peer hangs up on us again is worth one more
 * question.
 * @param failure what the call ended with
 * @param unknown how a peer that does not know us is told
 */
export async function whoAnswers(
  peer: Peer,
  asking: Asking,
  failure: Failure,
  unknown: (cause: Failure) => Failure = (cause) => unknownThere(peer, cause),
): Promise<Failure> {
  return hadConnection(failure) && (await hangsUp(peer, asking)) ? unknown(failure) : failure;
}

/**
 * Whether a peer takes our call, shows who it is, and ends the connection when it has seen who we are: that is how a server is
 * refused that is no peer. One that was only started again lets us in now, or is not there.
 */
async function hangsUp(peer: Peer, { self, clock, signal }: Asking): Promise<boolean> {
  const connection = connectTo(peer, self, clock);
  try {
    await getNode(connection, signal);
    return false;
  } catch (thrown) {
    return hadConnection(Failure.from(thrown));
  } finally {
    connection.close();
  }
}

function unknownThere(peer: Peer, cause: Failure): Failure {
  return new Failure('untrusted', `${describePeer(peer)}: it does not know this server`, {
    cause,
    hint: `On ${peer.name}, run the command that \`anemone-peer identity\` shows here: it adds this server to the peers.`,
  });
}
