import type { Identity } from '../../../mesh/identity/identity.js';
import { visitorEpoch } from '../../../mesh/identity/node-certificate.js';
import type { DerivedKeys } from '../../../mesh/identity/recovery-key.js';
import { makeServerIdentity, type ServerIdentity } from '../../../mesh/identity/server-identity.js';
import { connectTo, type Meet } from '../../../mesh/peers/connection.js';
import { getNode } from '../../../mesh/peers/get-node.js';
import { describePeer, type Peer } from '../../../mesh/peers/peer.js';
import { formatAddress } from '../../../mesh/terms/address.js';
import { Failure } from '../../../mesh/terms/failure.js';
import { type Hostname, parseHostname } from '../../../mesh/terms/hostname.js';
import { patienceOf } from '../../session/ask-peers.js';
import type { Context } from '../../session/context.js';
import { whoAnswers } from '../../session/who-answers.js';
import { deadHolder, type Holder, peerHolder } from '../../survey/holders.js';
import { closing, type Mesh } from '../../survey/mesh.js';
import type { KnownPeer } from './confirm-peers.js';

/** How messages call a peer of which only the address is known. */
const unnamed = parseHostname('peer');

/** How a list calls a peer, where its address does not stand beside the name. */
export function shortName({ name, address }: Pick<Peer, 'name' | 'address'>): string {
  return name === unnamed ? formatAddress(address) : name;
}

/** A peer that answered a visitor. */
export interface ReachedPeer extends Peer {
  /** Of the newest node key of our identity that it has seen, as it says; empty for none. */
  readonly newestCertificate: Uint8Array;
}

/** Who asks as a visitor. */
export interface Visitor {
  readonly server: Hostname;
  readonly keys: DerivedKeys;
  readonly self: ServerIdentity;
  /** What a machine that is not bare knows of whoever answers. */
  readonly meet: Meet;
}

/** A peer that was visited: what it told, or why it told nothing. */
export type Visited = ReachedPeer | (KnownPeer & { readonly failure: Failure });

/** What a machine that has no node key of its server has instead. */
export interface Bare {
  readonly keys: DerivedKeys;
  /** With the names that they have of themselves, where nobody gave them one. */
  readonly reached: readonly ReachedPeer[];
}

/** A mesh seen with nothing but the recovery key. */
export interface BareMesh {
  readonly mesh: Mesh;
  readonly bare: Bare;
}

/** A visitor for a server: peers let it list and fetch its own backups, and do not take its node key for a new one. */
export async function visitorFor(context: Context, server: Hostname, keys: DerivedKeys): Promise<Visitor> {
  const self = makeServerIdentity(keys, server, visitorEpoch);
  return { server, keys, self, meet: await context.currentOnly() };
}

/** The mesh of these peers alone. */
export async function openBareMesh(
  context: Context,
  server: Hostname,
  peers: readonly KnownPeer[],
  keys: DerivedKeys,
): Promise<BareMesh> {
  const visitor = await visitorFor(context, server, keys);
  return meshOf(context, visitor, await visitPeers(context, visitor, peers), peers);
}

/** Asks peers who they are, all at once. */
export function visitPeers(context: Context, visitor: Visitor, peers: readonly KnownPeer[]): Promise<Visited[]> {
  return Promise.all(peers.map((peer) => visit(context, peer, visitor)));
}

/**
 * The mesh of those who were visited. A peer that cannot be reached, at any of its addresses, stays in it as one that does not
 * answer.
 * @param named who has a name that counts more than what it calls itself
 */
export function meshOf(
  { clock, flags }: Context,
  visitor: Visitor,
  visited: readonly Visited[],
  named: readonly KnownPeer[],
): BareMesh {
  const { server, keys, self, meet } = visitor;
  const reached: ReachedPeer[] = [];
  const holders: Holder[] = [];
  const answering = new Set<Identity | Failure>(visited.flatMap((peer) => ('failure' in peer ? [] : [peer.identity])));
  for (const peer of visited) {
    if ('failure' in peer) {
      // One that has moved, and answers at its new address, is not silent.
      if (answering.has(peer.identity)) continue;
      const { identity, address, name = unnamed } = peer;
      const called = { name: givenName(identity, named) ?? name, address };
      // Described as the failure does, which was before it had the name.
      const where = { name: shortName(called), place: address.host, described: describePeer({ name, address }) };
      holders.push(deadHolder(where, peer.failure, self.identity));
    } else {
      const called = { ...peer, name: nameOf(peer, { named, visited, server }) };
      reached.push(called);
      const holder = peerHolder(called, self, clock, { meet, patience: patienceOf(flags) });
      holders.push({ ...holder, name: shortName(called) });
    }
  }
  const owners = new Map([[server, self.identity]]);
  const mesh = { owner: server, owners, holders, close: closing(holders) };
  return { mesh, bare: { keys, reached } };
}

/**
 * How a peer that answered is called: as a person or a kit calls it, else as it calls itself. A stranger has no name that
 * is of the server itself, or of anyone else here: who lies would be taken for another.
 */
function nameOf(
  { identity, name }: Peer,
  among: { readonly named: readonly KnownPeer[]; readonly visited: readonly Visited[]; readonly server: Hostname },
): Hostname {
  const others = [...among.named, ...among.visited].filter((peer) => peer.identity !== identity);
  const given = givenName(identity, among.named);
  if (given !== undefined) return given;
  const taken = [among.server, ...others.map((peer) => peer.name)].map((other) => other?.toLowerCase());
  return taken.includes(name.toLowerCase()) ? unnamed : name;
}

/** How a person or a kit calls a peer. */
function givenName(identity: KnownPeer['identity'], named: readonly KnownPeer[]): Hostname | undefined {
  return named.find((peer) => peer.identity === identity && peer.name !== undefined)?.name;
}

/** Visits a peer. The hostname that it tells is for the screen only: it is known by its identity. */
async function visit({ clock, signal, flags }: Context, known: KnownPeer, { self, meet }: Visitor): Promise<Visited> {
  const { address, identity } = known;
  if (identity instanceof Failure) return { ...known, failure: identity };
  const peer = { name: known.name ?? unnamed, address, identity };
  const connection = connectTo(peer, self, clock, { meet, patience: patienceOf(flags) });
  try {
    const { hostname, newestCertificate } = await getNode(connection, signal);
    return { ...peer, name: known.name ?? parseHostname(hostname), newestCertificate };
  } catch (thrown) {
    const failure = Failure.from(thrown);
    if (signal.aborted) throw failure;
    const unknown = (cause: Failure): Failure => wrongKeyThere(peer, self, cause);
    return { ...known, failure: await whoAnswers(peer, { self, clock, signal }, failure, unknown) };
  } finally {
    connection.close();
  }
}

function wrongKeyThere(peer: Peer, visitor: ServerIdentity, cause: Failure): Failure {
  const where = formatAddress(peer.address);
  return new Failure('wrong-key', `the peer at ${where} does not know the server of this recovery key`, {
    cause,
    hint: `The key has the identity ${visitor.identity}. Is it the key of another server, or was this one removed from the peers?`,
  });
}
