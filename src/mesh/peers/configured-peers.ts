import type { Config } from '../config/config.js';
import type { Identity } from '../identity/identity.js';
import type { Hostname } from '../terms/hostname.js';
import type { Peer } from './peer.js';

/** What has the peers of a configuration. */
type Configured = Pick<Config, 'peers'>;

/** The peers that are called and let in. */
export function enabledPeers({ peers }: Configured): Peer[] {
  return knownPeers({ peers: peers.filter(({ enabled }) => enabled) });
}

/** The peers whose identity is known, disabled ones too: what those stored before is still their own. */
export function knownPeers({ peers }: Configured): Peer[] {
  return peers.flatMap(({ name, address, identity }) => (identity === null ? [] : [{ name, address, identity }]));
}

/** The identity of an owner of backups, this server itself or a peer, also a disabled one; null where it is not known. */
export function ownerIdentity(
  { peers, server }: Pick<Config, 'peers' | 'server'>,
  self: Identity,
  owner: Hostname,
): Identity | null {
  return owner === server.name ? self : (peers.find(({ name }) => name === owner)?.identity ?? null);
}
