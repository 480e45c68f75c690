import { stringify } from 'yaml';
import type { ServerConfig } from '../../mesh/config/config.js';
import { defaultPort, formatAddress, isEveryAddress } from '../../mesh/terms/address.js';
import { shellWord } from '../../mesh/terms/shell-word.js';

/** The address as people write it: without the port that is the default. */
function shortAddress({ listen }: Pick<ServerConfig, 'listen'>): string {
  if (isEveryAddress(listen)) return '<its VPN address>';
  return listen.port === defaultPort ? listen.host : formatAddress(listen);
}

/** What to run on a peer so that it knows this server. */
export function peerAddCommand(server: Pick<ServerConfig, 'name' | 'listen'>, identity: string): string {
  return `anemone-peer peer add ${server.name} --vpn-ip ${shellWord(shortAddress(server))} --identity ${identity}`;
}

/** How a server is introduced to its peers: a command, or lines for their configuration. */
export function introduction(server: Pick<ServerConfig, 'name' | 'listen'>, identity: string): string {
  const peers = [{ name: server.name, vpn_ip: shortAddress(server), identity }];
  return `On every peer, run:

  ${peerAddCommand(server, identity)}

or write into its config.yaml:

${stringify({ peers }, { lineWidth: 0 }).trimEnd().replace(/^/gm, '  ')}`;
}
