import { defaultPort } from '../../mesh/config/address.js';
import type { ServerConfig } from '../../mesh/config/config.js';
import { formatAddress } from '../../mesh/terms/address.js';

/** Addresses that a server listens on, and that no peer can call. */
const anywhere = ['0.0.0.0', '::'];

/** The address as people write it: without the port that is the default. */
function shortAddress({ listen }: Pick<ServerConfig, 'listen'>): string {
  if (anywhere.includes(listen.host)) return '<its VPN address>';
  return listen.port === defaultPort ? listen.host : formatAddress(listen);
}

/** What to run on a peer so that it knows this server. */
export function peerAddCommand(server: Pick<ServerConfig, 'name' | 'listen'>, identity: string): string {
  return `anemone-peer peer add ${server.name} --vpn-ip ${shortAddress(server)} --identity ${identity}`;
}

/** How a server is introduced to its peers: a command, or lines for their configuration. */
export function introduction(server: Pick<ServerConfig, 'name' | 'listen'>, identity: string): string {
  return `On every peer, run:

  ${peerAddCommand(server, identity)}

or write into its config.yaml:

  peers:
    - name: ${server.name}
      vpn_ip: ${shortAddress(server)}
      identity: "${identity}"`;
}
