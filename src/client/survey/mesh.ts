import type { Config } from '../../mesh/config/config.js';
import type { Identity } from '../../mesh/identity/identity.js';
import { enabledPeers, knownPeers } from '../../mesh/peers/configured-peers.js';
import { Failure } from '../../mesh/terms/failure.js';
import type { Hostname } from '../../mesh/terms/hostname.js';
import { patienceOf } from '../session/ask-peers.js';
import type { Context } from '../session/context.js';
import { type Holder, ownHolder, peerHolder } from './holders.js';

/** Everyone who may hold a backup, and the identities that manifests are verified with. */
export interface Mesh {
  /** The server that asks. */
  readonly owner: Hostname;
  /** The identity of each owner that is known, by hostname. */
  readonly owners: ReadonlyMap<string, Identity>;
  readonly holders: readonly Holder[];
  close(): void;
}

/**
 * The mesh of the configuration: the own node and every enabled peer, or only the one that is named.
 * @throws Failure `config`; `usage` when no peer has that name
 */
export async function openMesh(context: Context, only?: string): Promise<Mesh> {
  const config = await context.loadConfig();
  const self = await context.self();
  const { clock, flags } = context;
  const options = { meet: await context.currentOnly(), patience: patienceOf(flags), known: () => knownPeers(config) };
  const named = (name: string): boolean => only === undefined || only === name;
  const peers = enabledPeers(config).filter((peer) => named(peer.name));
  const holders = [
    ...(named(config.server.name) ? [ownHolder(config.server, self.identity, clock)] : []),
    ...peers.map((peer) => peerHolder(peer, self, clock, options)),
  ];
  if (holders.length === 0) throw unknownPeer(config, only ?? '');
  return { owner: config.server.name, owners: ownersOf(config, self.identity), holders, close: closing(holders) };
}

export function ownersOf(config: Pick<Config, 'server' | 'peers'>, self: Identity): Map<string, Identity> {
  const peers = knownPeers(config).map(({ name, identity }) => [name, identity] as const);
  return new Map([...peers, [config.server.name, self]]);
}

export function closing(holders: readonly Holder[]): () => void {
  return () => {
    for (const holder of holders) holder.close();
  };
}

function unknownPeer(config: Config, name: string): Failure {
  const names = [config.server.name, ...enabledPeers(config).map((peer) => peer.name)];
  return new Failure('usage', `there is no enabled peer ${JSON.stringify(name)}`, {
    hint: `The configuration has ${names.join(', ')}.`,
  });
}
