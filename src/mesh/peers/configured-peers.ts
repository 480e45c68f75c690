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

/** The identity of a peer, also of a disabled one; null where it is not known. */
export function identityOf({ peers }: Configured, name: Hostname): Identity | null {
  return peers.find((peer) => peer.name === name)?.identity ?? null;
}

/** The identity of an owner of backups, a peer or this server itself; null where it is not known. */
export function ownerIdentity(
  config: Pick<Config, 'peers' | 'server'>,
  self: Identity,
  owner: Hostname,
): Identity | null {
  return owner === config.server.name ? self : identityOf(config, owner);
}
