import { type Identity, parseIdentity } from '../../../mesh/identity/identity.js';
import { visitorEpoch } from '../../../mesh/identity/node-certificate.js';
import { deriveKeys, generateRecoveryKey } from '../../../mesh/identity/recovery-key.js';
import { makeServerIdentity, type ServerIdentity } from '../../../mesh/identity/server-identity.js';
import { askIdentity } from '../../../mesh/identity/trust.js';
import { type Address, formatAddress, parseAddress } from '../../../mesh/terms/address.js';
import { Failure } from '../../../mesh/terms/failure.js';
import { type Hostname, parseHostname } from '../../../mesh/terms/hostname.js';
import { asUsage } from '../../session/as-usage.js';
import { patienceOf } from '../../session/ask-peers.js';
import type { Context } from '../../session/context.js';

/** A peer as a person, or a kit, names it on a bare machine. */
export interface PeerAddress {
  /** Where it is known. */
  readonly name?: Hostname;
  readonly address: Address;
  /** Null when it is to be asked, and confirmed. */
  readonly identity: Identity | null;
}

/** A peer that can be called, or why it cannot. */
export interface KnownPeer extends Omit<PeerAddress, 'identity'> {
  readonly identity: Identity | Failure;
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
