import type { Config, PeerConfig } from '../mesh/config/config.js';
import { type Identity, parseIdentity } from '../mesh/identity/identity.js';
import type { Peer } from '../mesh/peers/peer.js';
import type { Hostname } from '../mesh/terms/hostname.js';
import type { Holder } from './outbox/receipts.js';

/** The peers that are called and let in. */
export function trustedPeers({ peers }: Config): Peer[] {
  return peers.filter(({ enabled }) => enabled).map((peer) => ({ ...peer, identity: parseIdentity(peer.identity) }));
}

/** The identity of a peer, also of a disabled one: what it stored before is still its own. */
export function identityOf(config: Config, name: Hostname): Identity | null {
  const peer: PeerConfig | undefined = config.peers.find((candidate) => candidate.name === name);
  return peer === undefined || peer.identity === '' ? null : parseIdentity(peer.identity);
}

/** Whose backups this server keeps: all peers of the configuration with an identity. */
export function ownersIn(config: Config): Holder[] {
  return config.peers.flatMap(({ name }) => {
    const identity = identityOf(config, name);
    return identity === null ? [] : [{ name, identity }];
  });
}

/** Who is let in. */
export function identitiesIn(config: Config): Identity[] {
  return trustedPeers(config).map(({ identity }) => identity);
}
