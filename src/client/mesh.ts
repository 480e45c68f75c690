import type { Config } from '../mesh/config/config.js';
import { type Identity, parseIdentity } from '../mesh/identity/identity.js';
import type { ListFilter } from '../mesh/peers/list-backups.js';
import { Failure } from '../mesh/terms/failure.js';
import type { Hostname } from '../mesh/terms/hostname.js';
import { enabledPeers, patienceOf } from './ask-peers.js';
import type { Context } from './context.js';
import { examiner, type ReceiptCheck } from './examine.js';
import type { Survey } from './found.js';
import { type Holder, ownHolder, peerHolder } from './holders.js';
import { askAll, weigh } from './survey.js';

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
  const meet = await context.currentOnly();
  const { clock } = context;
  const named = (name: string): boolean => only === undefined || only === name;
  const peers = enabledPeers(config).filter((peer) => named(peer.name));
  const holders = [
    ...(named(config.server.name) ? [ownHolder(config.server, self.identity, clock)] : []),
    ...peers.map((peer) => peerHolder(peer, self, clock, meet)),
  ];
  if (holders.length === 0) throw unknownPeer(config, only ?? '');
  return { owner: config.server.name, owners: ownersOf(config, self.identity), holders, close: closing(holders) };
}

export function ownersOf(config: Pick<Config, 'server' | 'peers'>, self: Identity): Map<string, Identity> {
  const known = config.peers.filter((peer) => peer.identity !== '');
  const peers = known.map((peer): [string, Identity] => [peer.name, parseIdentity(peer.identity)]);
  return new Map([...peers, [config.server.name, self]]);
}

/**
 * Asks everyone at once, verifies and merges.
 * @param receipts whether they are asked for, and their signatures proven: each takes as long as that of a manifest
 * @throws Failure `interrupted`
 */
export async function survey(
  context: Context,
  mesh: Mesh,
  filter: ListFilter,
  receipts: ReceiptCheck = 'read',
): Promise<Survey> {
  const { clock, signal, flags } = context;
  const deadline = patienceOf(flags);
  // A peer refuses to be asked for an owner by name whose backups we may not read; what it shows is filtered here.
  const question = { ...filter, owner: '', brief: receipts === 'brief' };
  const options = { clock, deadline, examiner: examiner(mesh.owners, receipts), signal };
  const answers = await askAll(mesh.holders, question, options);
  return weigh(answers, filter);
}

/** The failure to end with when not one holder answered; null when at least one did. */
export function nobodyAnswered({ answers }: Survey): Failure | null {
  const silent = answers.flatMap((answer) => ('failure' in answer ? [answer] : []));
  if (silent.length < answers.length) return null;
  // The own node may be stopped for good reasons; why the peers are silent says more.
  const peers = silent.filter(({ holder }) => holder.place !== 'local');
  const telling = (peers.length > 0 ? peers : silent).map(({ failure }) => failure);
  // The right server may be back where another one answers; whoever asks now has to know first.
  const isRefusal = telling.every(({ kind, retryable }) => kind === 'untrusted' || !retryable);
  const [first] = telling;
  const reasons = silent.map(({ failure }) => `\n  ${failure.message}`).join('');
  return new Failure(isRefusal && first !== undefined ? first.kind : 'unreachable', `nobody answered:${reasons}`, {
    hint: first?.hint ?? 'Is the VPN up? Try again when a peer can be reached.',
  });
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
