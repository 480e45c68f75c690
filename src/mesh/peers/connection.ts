import { isIP } from 'node:net';
import { type ChannelCredentials, type ChannelOptions, Client, connectivityState } from '@grpc/grpc-js';
import type { Address } from '../config/config.js';
import type { ServerIdentity } from '../identity/server-identity.js';
import { peerCredentials, peerSocketOptions } from '../identity/trust.js';
import type { Clock } from '../terms/clock.js';
import { type BulkChannel, openBulkChannel } from '../wire/bulk-channel.js';
import type { CallContext } from '../wire/watch-call.js';
import { type ChannelCount, openChannelCount } from './channel-count.js';
import { describePeer, formatAddress, type Peer } from './peer.js';

/**
 * Two connections to one peer, so that a listing never waits behind a transfer: grpc-js has the one for small calls, and the
 * other carries backups. Both connect at the first call, and after a failure at the next one. A large push may want more of
 * the second kind.
 */
export interface Connection {
  readonly peer: Peer;
  readonly control: Client;
  readonly bulk: BulkChannel;
  /** How many channels a large push to this peer uses. */
  readonly channelCount: ChannelCount;
  /** One more channel that carries backups, for the caller to close. */
  openChannel(): BulkChannel;
  /** What a call to this peer needs; `patience` in milliseconds without progress. */
  context(patience: number, signal?: AbortSignal): CallContext;
  close(): void;
}

/** Milliseconds that a small call may take, connecting included. */
export const controlPatience = 10_000;
/** Milliseconds without a byte after which a transfer is given up. */
export const bulkPatience = 60_000;

const channelOptions: ChannelOptions = {
  'grpc.enable_http_proxy': 0,
  'grpc.initial_reconnect_backoff_ms': 500,
  'grpc.max_reconnect_backoff_ms': 15_000,
  'grpc.keepalive_time_ms': 30_000,
  'grpc.keepalive_timeout_ms': 60_000,
  // Without this, grpc-js lets channels to the same address share one connection.
  'grpc.use_local_subchannel_pool': 1,
  // The certificate says who a peer is, not its name; an IP address as a server name would be a warning.
  'grpc.ssl_target_name_override': 'anemone-peer',
  'grpc.default_authority': 'anemone-peer',
};

export function connectTo(peer: Peer, self: ServerIdentity, clock: Clock): Connection {
  const credentials = peerCredentials(self, peer.identity);
  const target = grpcTarget(peer.address);
  const control = channelTo(target, credentials);
  const openChannel = (): BulkChannel =>
    openBulkChannel({ ...peer.address, ...peerSocketOptions(self, peer.identity) }, clock);
  const bulk = openChannel();
  return {
    peer,
    get control() {
      return control.client();
    },
    bulk,
    channelCount: openChannelCount(clock),
    openChannel,
    context: (patience, signal) => ({ whom: describePeer(peer), clock, patience, signal }),
    close() {
      control.close();
      bulk.close();
    },
  };
}

/**
 * A channel that is made anew where the last attempt to connect failed. grpc-js would refuse every call until its own wait
 * is over, although whoever calls has waited already, or was just called by the peer and knows that it is back.
 */
function channelTo(target: string, credentials: ChannelCredentials): { client(): Client; close(): void } {
  const open = (): Client => new Client(target, credentials, channelOptions);
  let client = open();
  return {
    client() {
      if (client.getChannel().getConnectivityState(false) === connectivityState.TRANSIENT_FAILURE) {
        client.close();
        client = open();
      }
      return client;
    },
    close: () => client.close(),
  };
}

function grpcTarget(address: Address): string {
  const scheme = { 0: 'dns', 4: 'ipv4', 6: 'ipv6' }[isIP(address.host)] ?? 'dns';
  return `${scheme}:${formatAddress(address)}`;
}
