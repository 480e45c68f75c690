import type { Identity } from '../identity/identity.js';
import { type Address, formatAddress } from '../terms/address.js';
import type { Hostname } from '../terms/hostname.js';

/** A server that we can call: where it is, and who must answer there. */
export interface Peer {
  readonly name: Hostname;
  readonly address: Address;
  readonly identity: Identity;
}

/** A peer as messages name it: `FR2 (10.8.0.2:7443)`. */
export function describePeer(peer: Pick<Peer, 'name' | 'address'>): string {
  return `${peer.name} (${formatAddress(peer.address)})`;
}
