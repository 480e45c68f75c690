import { connect, type TLSSocket } from 'node:tls';
import type { Identity } from '../identity/identity.js';
import type { NodeCertificate } from '../identity/node-certificate.js';
import type { ServerIdentity } from '../identity/server-identity.js';
import { callerOptions, proveServer } from '../identity/trust.js';
import type { Clock } from '../terms/clock.js';
import { type Channel, openChannel } from '../wire/channel.js';
import { type ChannelCount, openChannelCount } from './channel-count.js';
import { describePeer, type Peer } from './peer.js';

/** What a server that holds backups is asked over. */
export interface Channels {
  /** For small calls. */
  readonly control: Channel;
  /** For calls that carry backups. */
  readonly bulk: Channel;
}

/**
 * Two connections to one peer, so that a listing never waits behind a transfer. Both connect at the first call, and after
 * they broke at the next one. A large push may want more of the second kind.
 */
export interface Connection extends Channels {
  readonly peer: Peer;
  /** How many channels a large push to this peer uses. */
  readonly channelCount: ChannelCount;
  /** One more channel that carries backups, for the caller to close. */
  openBulk(): Channel;
  close(): void;
}

/** Milliseconds that a small call may take, connecting included. */
export const controlPatience = 10_000;
/** Milliseconds without a byte after which a transfer is given up. */
export const bulkPatience = 60_000;

/**
 * Looks at whoever has proven to be this peer, before it is asked anything.
 * @throws Failure `untrusted` when it is not to be called all the same
 */
export type Meet = (peer: Peer, certificate: NodeCertificate, socket: TLSSocket) => void;

export interface ConnectOptions {
  /** Without it, whoever has a node key of the peer is called, also one that is superseded. */
  readonly meet?: Meet | undefined;
  /** Milliseconds that a small call may take; those of {@link controlPatience} without it. */
  readonly patience?: number;
  /** The peers of this moment: one that answers in the place of another is named. */
  readonly known?: () => readonly Peer[];
}

export function connectTo(
  peer: Peer,
  self: ServerIdentity,
  clock: Clock,
  { meet = () => {}, patience = controlPatience, known = () => [] }: ConnectOptions = {},
): Connection {
  const options = { ...peer.address, ...callerOptions(self) };
  const nameOf = (identity: Identity): string | undefined =>
    identity === self.identity ? 'this server itself' : known().find((each) => each.identity === identity)?.name;
  const prove = (socket: TLSSocket): void => meet(peer, proveServer(socket, peer.identity, nameOf), socket);
  const open = (waits: number): Channel =>
    openChannel({ whom: describePeer(peer), clock, patience: waits }, () => connect(options), prove);
  const openBulk = (): Channel => open(bulkPatience);
  const [control, bulk] = [open(patience), openBulk()];
  return {
    peer,
    control,
    bulk,
    channelCount: openChannelCount(clock),
    openBulk,
    close() {
      control.close();
      bulk.close();
    },
  };
}
