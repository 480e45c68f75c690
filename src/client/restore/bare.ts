import { type Identity, parseIdentity } from '../../mesh/identity/identity.js';
import { visitorEpoch } from '../../mesh/identity/node-certificate.js';
import { type DerivedKeys, deriveKeys, generateRecoveryKey } from '../../mesh/identity/recovery-key.js';
import { makeServerIdentity, type ServerIdentity } from '../../mesh/identity/server-identity.js';
import { askIdentity } from '../../mesh/identity/trust.js';
import { connectTo, type Meet } from '../../mesh/peers/connection.js';
import { getNode } from '../../mesh/peers/get-node.js';
import { describePeer, type Peer } from '../../mesh/peers/peer.js';
import { type Address, formatAddress, parseAddress } from '../../mesh/terms/address.js';
import { Failure } from '../../mesh/terms/failure.js';
import { type Hostname, parseHostname } from '../../mesh/terms/hostname.js';
import { asUsage } from '../session/as-usage.js';
import { patienceOf } from '../session/ask-peers.js';
import type { Context } from '../session/context.js';
import { whoAnswers } from '../session/who-answers.js';
import { deadHolder, type Holder, peerHolder } from '../survey/holders.js';
import { closing, type Mesh } from '../survey/mesh.js';

/** A peer as a person, or a kit, names it on a bare machine. */
export interface PeerAddress {
  /** Where it is known. */
  readonly name?: Hostname;
  readonly address: Address;
  /** Null when it is to be asked, and confirmed. */
  readonly identity: Identity | null;
}

/** How messages call a peer of which only the address is known. */
const unnamed = parseHostname('peer');

/** How a list calls a peer, where its address does not stand beside the name. */
export function shortName({ name, address }: Pick<Peer, 'name' | 'address'>): string {
  return name === unnamed ? formatAddress(address) : name;
}

/** A peer that can be called, or why it cannot. */
export interface KnownPeer extends Omit<PeerAddress, 'identity'> {
  readonly identity: Identity | Failure;
}

/** A peer that answered a visitor. */
export interface ReachedPeer extends Peer {
  /** Of the newest node key of our identity that it has seen, as it says; empty for none. */
  readonly newestCertificate: Uint8Array;
}

/** Who asks as a visitor. */
interface Visitor {
  readonly server: Hostname;
  readonly self: ServerIdentity;
  /** What a machine that is not bare knows of whoever answers. */
  readonly meet: Meet;
}

/** A peer that was visited: what it told, or why it told nothing. */
type Visited = ReachedPeer | (KnownPeer & { readonly failure: Failure });

/** A mesh seen with nothing but the recovery key, and the peers of it that can be called. */
export interface BareMesh extends Mesh {
  readonly reached: readonly ReachedPeer[];
  readonly visitor: Visitor;
  /** With the names that they have of themselves, where nobody gave them one. */
  readonly visited: readonly Visited[];
}

/**
 * Reads `10.8.0.2`, `10.8.0.2:7443` or `10.8.0.2#<identity>`.
 * @throws Failure `usage`
 */
export function parsePeerAddress(text: string): PeerAddress {
  const [place = '', ...rest] = text.split('#');
  return asUsage(`--peer ${text}`, () => ({
    address: parseAddress(place),
    identity: rest.length === 0 ? null : parseIdentity(rest.join('#')),
  }));
}

/**
 * Asks those peers whose identity nobody knows to show it, and a person whether to believe it. No key is needed for that.
 * @param options.yes accept the identity that a peer shows, without asking
 * @throws Failure `usage` when an identity is to be confirmed and nobody can be asked; why none of them can be called
 */
export async function confirmPeers(
  context: Context,
  peers: readonly PeerAddress[],
  options: { readonly yes: boolean },
): Promise<readonly KnownPeer[]> {
  const known: KnownPeer[] = [];
  // One after the other: a person is asked about one identity at a time.
  for (const peer of peers) known.push(await knowIdentity(context, peer, options.yes));
  const failures = known.flatMap(({ identity }) => (identity instanceof Failure ? [identity] : []));
  const [first] = failures;
  if (first === undefined || failures.length < known.length) return known;
  if (failures.length === 1) throw first;
  const reasons = failures.map(({ message }) => `\n  ${message}`).join('');
  throw new Failure(first.kind, `none of the peers can be asked:${reasons}`, { hint: first.hint });
}

async function knowIdentity(context: Context, { identity, ...peer }: PeerAddress, yes: boolean): Promise<KnownPeer> {
  if (identity !== null) return { ...peer, identity };
  const { prompts, screen, clock, signal, flags } = context;
  const where = formatAddress(peer.address);
  const instead = `Give the identity with it, as --peer ${where}#IDENTITY, or accept what the peer shows with --yes.`;
  if (!yes && !prompts.interactive) {
    const message = `the identity of the peer at ${where} is to be confirmed, and nobody can be asked here`;
    throw new Failure('usage', message, { hint: instead });
  }
  try {
    screen.note(`Asking ${where} who it is.`);
    const shown = await askIdentity(peer.address, stranger(), { clock, signal, patience: patienceOf(flags) });
    (yes ? screen.note : screen.asked)(`The peer at ${where} has the identity ${shown}.`);
    if (yes) return { ...peer, identity: shown };
    screen.note(
      'On that server `anemone-peer identity` shows it too, and so does the kit. Another server in its place would see no ' +
        'secret: whatever it sends is checked with the recovery key.',
    );
    if (await prompts.confirm('Is this one of your servers?', instead)) return { ...peer, identity: shown };
    return { ...peer, identity: new Failure('untrusted', `${where} was not confirmed`) };
  } catch (thrown) {
    const failure = Failure.from(thrown, where);
    if (failure.kind === 'interrupted' || failure.kind === 'usage') throw failure;
    return { ...peer, identity: withHint(failure) };
  }
}

/** Whoever asks a server who it is need not be anybody. */
export function stranger(): ServerIdentity {
  return makeServerIdentity(deriveKeys(generateRecoveryKey()), parseHostname('visitor'), visitorEpoch);
}

function withHint(failure: Failure): Failure {
  if (failure.kind !== 'unreachable') return failure;
  return new Failure('unreachable', failure.message, {
    cause: failure,
    hint: 'Is the VPN up, and the node running there? Another peer will do as well: --peer ADDRESS.',
  });
}

/**
 * Calls peers as a visitor: they let it list and fetch its own backups, and do not take its node key for a new one. A peer
 * that cannot be reached, at any of its addresses, stays in the mesh as one that does not answer.
 */
export async function openBareMesh(
  context: Context,
  server: Hostname,
  peers: readonly KnownPeer[],
  keys: DerivedKeys,
): Promise<BareMesh> {
  const visitor = { server, self: makeServerIdentity(keys, server, visitorEpoch), meet: await context.currentOnly() };
  const visited = await Promise.all(peers.map((peer) => visit(context, peer, visitor)));
  return meshOf(context, visitor, visited, peers);
}

/** Those peers of a kit that the mesh was not opened with. */
export function notVisited(kit: readonly Peer[], { reached, visited }: BareMesh): readonly Peer[] {
  return kit.filter(
    ({ identity, address }) =>
      reached.every((peer) => peer.identity !== identity) &&
      visited.every((peer) => formatAddress(peer.address) !== formatAddress(address)),
  );
}

/** The same mesh with those peers of a kit, too. Whom the kit knows is called as it says, and nobody else has a name from it. */
export async function withPeersOf(kit: readonly Peer[], context: Context, mesh: BareMesh): Promise<BareMesh> {
  const { visitor } = mesh;
  const learned = await Promise.all(notVisited(kit, mesh).map((peer) => visit(context, peer, visitor)));
  // Opened anew: whatever a holder is told to have done has its name in it.
  mesh.close();
  return meshOf(context, visitor, [...mesh.visited, ...learned], kit);
}

/** @param named who has a name that counts more than what it calls itself */
function meshOf(
  { clock, flags }: Context,
  visitor: Visitor,
  visited: readonly Visited[],
  named: readonly KnownPeer[],
): BareMesh {
  const { server, self, meet } = visitor;
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
  return { owner: server, owners, holders, reached, visitor, visited, close: closing(holders) };
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
