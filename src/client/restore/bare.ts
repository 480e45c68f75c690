import { parseAddress } from '../../mesh/config/address.js';
import type { Address } from '../../mesh/config/config.js';
import { type Identity, parseIdentity } from '../../mesh/identity/identity.js';
import { visitorEpoch } from '../../mesh/identity/node-certificate.js';
import type { DerivedKeys } from '../../mesh/identity/recovery-key.js';
import { makeServerIdentity, type ServerIdentity } from '../../mesh/identity/server-identity.js';
import { askIdentity } from '../../mesh/identity/trust.js';
import { connectTo, controlPatience } from '../../mesh/peers/connection.js';
import { getNode } from '../../mesh/peers/get-node.js';
import { formatAddress, type Peer } from '../../mesh/peers/peer.js';
import { Failure } from '../../mesh/terms/failure.js';
import { type Hostname, parseHostname } from '../../mesh/terms/hostname.js';
import type { Context } from '../context.js';
import { deadHolder, type Holder, peerHolder } from '../holders.js';
import { closing, type Mesh } from '../mesh.js';
import { anotherServer } from '../who-answers.js';

/** A peer as a person names it on a bare machine. */
export interface PeerAddress {
  readonly address: Address;
  /** Null when it is to be asked, and confirmed. */
  readonly identity: Identity | null;
}

/** A peer that answered a visitor. */
export interface ReachedPeer extends Peer {
  /** The newest epoch it has seen of our identity, milliseconds since 1970; 0 for none. */
  readonly newestEpoch: number;
}

/** A mesh seen with nothing but the recovery key, and the peers of it that can be called. */
export interface BareMesh extends Mesh {
  readonly reached: readonly ReachedPeer[];
}

/**
 * Reads `10.8.0.2`, `10.8.0.2:7443` or `10.8.0.2#<identity>`.
 * @throws Failure `usage`
 */
export function parsePeerAddress(text: string): PeerAddress {
  const [place = '', ...rest] = text.split('#');
  try {
    return { address: parseAddress(place), identity: rest.length === 0 ? null : parseIdentity(rest.join('#')) };
  } catch (cause) {
    const { message, hint } = Failure.from(cause);
    throw new Failure('usage', `--peer ${text}: ${message}`, { cause, ...(hint === undefined ? {} : { hint }) });
  }
}

/**
 * Calls peers as a visitor: they let it list and fetch its own backups, and do not take its node key for a new one. A peer
 * that cannot be reached stays in the mesh as one that does not answer.
 * @param options.yes accept the identity that a peer shows, without asking
 * @throws Failure `usage` when an identity is to be confirmed and nobody can be asked
 */
export async function openBareMesh(
  context: Context,
  server: Hostname,
  peers: readonly PeerAddress[],
  keys: DerivedKeys,
  options: { readonly yes: boolean },
): Promise<BareMesh> {
  const visitor = makeServerIdentity(keys, server, visitorEpoch);
  const reached: ReachedPeer[] = [];
  const holders: Holder[] = [];
  // One after the other: a person is asked about one identity at a time.
  const known: { readonly address: Address; readonly identity: Identity | Failure }[] = [];
  for (const peer of peers) known.push(await knowIdentity(context, peer, visitor, options.yes));
  const named = await Promise.all(known.map((peer, index) => visit(context, peer, index, visitor)));
  for (const peer of named) {
    if ('failure' in peer) {
      holders.push(
        deadHolder({ name: formatAddress(peer.address), place: peer.address.host }, peer.failure, keys.identity),
      );
    } else {
      reached.push(peer);
      holders.push(peerHolder(peer, visitor, context.clock));
    }
  }
  return { owner: server, owners: new Map([[server, keys.identity]]), holders, reached, close: closing(holders) };
}

async function knowIdentity(
  context: Context,
  { address, identity }: PeerAddress,
  visitor: ServerIdentity,
  yes: boolean,
): Promise<{ readonly address: Address; readonly identity: Identity | Failure }> {
  if (identity !== null) return { address, identity };
  const where = formatAddress(address);
  const instead = `Give the identity with it, as --peer ${where}#IDENTITY, or accept what the peer shows with --yes.`;
  if (!yes && !context.prompts.interactive) {
    throw new Failure(
      'usage',
      `the identity of the peer at ${where} is to be confirmed, and nobody can be asked here`,
      {
        hint: instead,
      },
    );
  }
  try {
    const shown = await askIdentity(address, visitor, context.clock);
    context.screen.note(`The peer at ${where} has the identity ${shown}.`);
    if (yes || (await context.prompts.confirm('Is this one of your servers?', instead)))
      return { address, identity: shown };
    return { address, identity: new Failure('untrusted', `${where} was not confirmed`) };
  } catch (thrown) {
    const failure = Failure.from(thrown, where);
    if (failure.kind === 'interrupted' || failure.kind === 'usage') throw failure;
    return { address, identity: failure };
  }
}

/** Visits a peer. The hostname that it tells is for the screen only: it is known by its identity. */
async function visit(
  context: Context,
  { address, identity }: { readonly address: Address; readonly identity: Identity | Failure },
  index: number,
  visitor: ServerIdentity,
): Promise<ReachedPeer | { readonly address: Address; readonly failure: Failure }> {
  if (identity instanceof Failure) return { address, failure: identity };
  const { clock, signal, flags } = context;
  const peer = { name: parseHostname(`peer-${index + 1}`), address, identity };
  const connection = connectTo(peer, visitor, clock);
  const patience = flags.timeout === undefined ? controlPatience : flags.timeout * 1000;
  const patient = { ...connection, context: (_: number, stop?: AbortSignal) => connection.context(patience, stop) };
  try {
    const { hostname, newestEpochMs } = await getNode(patient, signal);
    return { ...peer, name: parseHostname(hostname), newestEpoch: newestEpochMs };
  } catch (thrown) {
    const failure = Failure.from(thrown);
    if (signal.aborted) throw failure;
    return {
      address,
      failure: failure.kind === 'unreachable' ? await refusedBy(context, peer, visitor, failure) : failure,
    };
  } finally {
    connection.close();
  }
}

/**
 * A peer that refuses us in the handshake looks like one that cannot be reached. Whether somebody is there, and who, is
 * worth one more question: it tells a wrong key from a broken link.
 */
async function refusedBy(
  { clock }: Context,
  { address, identity }: Peer,
  visitor: ServerIdentity,
  cause: Failure,
): Promise<Failure> {
  const shown = await askIdentity(address, visitor, clock).catch(() => null);
  if (shown === null) return cause;
  if (shown !== identity) return anotherServer({ address, identity }, shown, cause);
  const where = formatAddress(address);
  return new Failure('untrusted', `the peer at ${where} does not know the server of this recovery key`, {
    cause,
    hint: `The key has the identity ${visitor.identity}. Is it the key of another server, or was this one removed from the peers?`,
  });
}
