import { existsSync } from 'node:fs';
import { BlockList, isIP } from 'node:net';
import { networkInterfaces } from 'node:os';
import { identityToRecipient } from 'age-encryption';
import type { Config } from '../../../mesh/config/config.js';
import { loadConfig } from '../../../mesh/config/load.js';
import type { GetNodeResponse } from '../../../mesh/generated/anemone/peer/v1/peer.js';
import type { Identity } from '../../../mesh/identity/identity.js';
import { provenEpoch } from '../../../mesh/identity/node-certificate.js';
import type { DerivedKeys } from '../../../mesh/identity/recovery-key.js';
import {
  makeServerIdentity,
  type ServerIdentity,
  storeServerIdentity,
} from '../../../mesh/identity/server-identity.js';
import { readChainHead, writeChainHead } from '../../../mesh/manifest/chain.js';
import type { VerifiedManifest } from '../../../mesh/manifest/manifest.js';
import { enabledPeers } from '../../../mesh/peers/configured-peers.js';
import { getNode, hasSeenNewer } from '../../../mesh/peers/get-node.js';
import { describePeer, type Peer } from '../../../mesh/peers/peer.js';
import { type Address, formatAddress, isEveryAddress } from '../../../mesh/terms/address.js';
import { Failure } from '../../../mesh/terms/failure.js';
import { keepOwnRecipient } from '../../server/own-recipient.js';
import { stateFolder } from '../../server/state-folder.js';
import { askOwnNode } from '../../session/ask-own-node.js';
import { askPeers, type PeerAnswer } from '../../session/ask-peers.js';
import type { Context } from '../../session/context.js';
import { candidatesOf } from '../../survey/found.js';
import { survey } from '../../survey/survey.js';
import { openBareMesh, type ReachedPeer, shortName } from '../source/visit.js';

/** What became of the machine after a restore: a server of the mesh again, or why not. */
export interface Rebuilt {
  /** The configuration that the node is started with. */
  readonly config: string;
  /** Where that has the node keep its data. */
  readonly data: string;
  /** Of the new node key, milliseconds since 1970. */
  readonly epoch: number;
  /** Peers that took the new node key, and refuse any older one from now on. */
  readonly accepted: readonly string[];
  /** Peers that prove to have seen a node key that is newer still, and refuse this one for good. */
  readonly refusing: readonly string[];
  /** Peers that could not be told, or do not show that they took it, with the reason. */
  readonly untold: readonly { readonly peer: string; readonly reason: string }[];
  /** Peers that were reached at another address than the configuration has. */
  readonly moved: readonly { readonly peer: string; readonly configured: string; readonly reached: string }[];
  /** Where the configuration has the node listen, if this machine has no such address; null if it has. */
  readonly absentAddress: string | null;
  /** The number of the newest backup of each set, after which the next one goes on, with a thousand left out. */
  readonly sequences: Readonly<Record<string, number>>;
  /** Whether the node runs here, which goes on with the former node key until it is restarted. */
  readonly running: boolean;
}

/** What a restore has learned of the mesh by the time it takes over. */
export interface Learned {
  readonly reached: readonly ReachedPeer[];
  /** The backups of the server that are proven. */
  readonly manifests: readonly VerifiedManifest[];
}

/**
 * Milliseconds by which a new node key is newer than one that the clock here is not past. A key has numbers for its backups by
 * its epoch, and a thief may have used up all of the former key: of one millisecond, two dozen would be left.
 */
const beaten = 86_400_000;

/**
 * The last step of a restore on a bare machine: makes and keeps a new node key that is newer than any that the peers have
 * seen, goes on with the sequence of each set where the mesh has its end, and shows the key to every peer.
 * @returns null when there is no configuration, or it was put aside with the folder that it lay in
 * @throws Failure `config` when the configuration is wrong, or of another server; nothing was made then
 */
export async function rebuild(
  context: Context,
  { file, server }: { readonly file: string | undefined; readonly server: string },
  keys: DerivedKeys,
  learned: Learned,
): Promise<Rebuilt | null> {
  if (file === undefined || !existsSync(file)) return null;
  const { config } = await loadConfig(file);
  if (config.server.name !== server) {
    throw new Failure('config', `${config.file} is the configuration of ${config.server.name}, not of ${server}`);
  }
  const state = stateFolder(config);
  const peers = peersOf(config, learned.reached);
  // A peer that is lost by now has said its part before.
  const visited = await visitAll(context, config, keys, peers);
  const manifests = [...learned.manifests, ...visited.manifests];
  const heads = await Promise.all(headsOf(manifests).map((head) => keepChainHead(state, head, keys.identity)));
  const former = [
    ...[...learned.reached, ...visited.reached].map(({ newestCertificate }) => newestCertificate),
    // Of all, since a thief signs any number: the highest need not be of the newest key.
    ...[...manifests, ...heads].map(({ signed }) => signed.certificate),
  ];
  // An epoch counts where a certificate proves it: no peer can use up those there are.
  const toBeat = former.reduce((newest, each) => Math.max(newest, provenEpoch(each, keys.identity)), 0);
  const now = context.clock.now();
  const epoch = now > toBeat ? now : toBeat + beaten;
  const self = makeServerIdentity(keys, config.server.name, epoch);
  await keepOwnRecipient(state, self.identity, await identityToRecipient(keys.ageIdentity));
  await storeServerIdentity(self, state);
  // Not to be interrupted: a peer that was told refuses the former key, whatever this machine says then.
  const asking = { ...context, self, meet: await context.currentOnly(), signal: new AbortController().signal };
  const answers = await askPeers(peers, asking, getNode);
  return {
    config: config.file,
    data: config.server.data,
    epoch,
    ...standings(answers, self),
    moved: movedOf(config, peers),
    absentAddress: absentAddress(config.server.listen),
    sequences: Object.fromEntries(heads.map(({ facts }) => [facts.set, facts.sequence])),
    running: (await askOwnNode(context, config, async () => 'runs')) === 'runs',
  };
}

/** How each peer took the new node key. Whoever took it shows its certificate. */
function standings(
  answers: readonly PeerAnswer<GetNodeResponse>[],
  { certificate }: ServerIdentity,
): Pick<Rebuilt, 'accepted' | 'refusing' | 'untold'> {
  const accepted: string[] = [];
  const refusing: string[] = [];
  const untold: Rebuilt['untold'][number][] = [];
  for (const answer of answers) {
    const peer = shortName(answer.peer);
    if ('failure' in answer) untold.push({ peer, reason: plainReason(answer) });
    else if (certificate.der.equals(answer.value.newestCertificate)) accepted.push(peer);
    else if (hasSeenNewer(answer.value, certificate)) refusing.push(peer);
    else untold.push({ peer, reason: 'it answers, and shows another node key of this server as the newest' });
  }
  return { accepted, refusing, untold };
}

/** The reason without the peer's name, which stands before it already. */
function plainReason({ peer, failure }: { readonly peer: Peer; readonly failure: Failure }): string {
  return failure.message.replace(`${describePeer(peer)}: `, '');
}

/** The peers to tell: where one was just reached counts more than where the restored configuration has it. */
function peersOf(config: Config, reached: readonly Peer[]): readonly Peer[] {
  const configured = enabledPeers(config).map((peer) => {
    const { address } = reached.find(({ identity }) => identity === peer.identity) ?? peer;
    return { ...peer, address };
  });
  return [...configured, ...reached.filter(({ identity }) => configured.every((peer) => peer.identity !== identity))];
}

function movedOf(config: Config, peers: readonly Peer[]): Rebuilt['moved'] {
  return enabledPeers(config).flatMap(({ name, address, identity }) => {
    const configured = formatAddress(address);
    const reached = formatAddress(peers.find((peer) => peer.identity === identity)?.address ?? address);
    return reached === configured ? [] : [{ peer: name, configured, reached }];
  });
}

/** Null also for a name: what that means may be another address by the time the node is started. */
export function absentAddress(listen: Address): string | null {
  if (isIP(listen.host) === 0 || isEveryAddress(listen)) return null;
  const here = new BlockList();
  here.addSubnet('127.0.0.0', 8);
  for (const { address, family } of Object.values(networkInterfaces()).flatMap((each) => each ?? [])) {
    here.addAddress(address, family === 'IPv6' ? 'ipv6' : 'ipv4');
  }
  return here.check(listen.host, isIP(listen.host) === 6 ? 'ipv6' : 'ipv4') ? null : listen.host;
}

/** Asks every peer, as a visitor still, for the backups of the server and the epoch to beat. */
async function visitAll(context: Context, config: Config, keys: DerivedKeys, peers: readonly Peer[]): Promise<Learned> {
  const { mesh, bare } = await openBareMesh(context, config.server.name, peers, keys);
  try {
    const { backups } = await survey(context, mesh, { owner: config.server.name, set: '' });
    return { reached: bare.reached, manifests: candidatesOf(backups).map(({ manifest }) => manifest) };
  } finally {
    mesh.close();
  }
}

/**
 * Writes down the end of a chain, unless a later one lies there from before: fewer peers may have been reached this time.
 * @returns the one that lies there then
 */
async function keepChainHead(state: string, head: VerifiedManifest, identity: Identity): Promise<VerifiedManifest> {
  const { set, sequence } = head.facts;
  const before = await readChainHead(state, set, identity).catch(() => null);
  if (before !== null && before.facts.sequence >= sequence) return before;
  await writeChainHead(state, set, head.signed);
  return head;
}

/** The end of each set's chain, as far as it was seen. */
function headsOf(manifests: readonly VerifiedManifest[]): readonly VerifiedManifest[] {
  const heads = new Map<string, VerifiedManifest>();
  for (const manifest of manifests) {
    const { set, sequence } = manifest.facts;
    if (sequence > (heads.get(set)?.facts.sequence ?? 0)) heads.set(set, manifest);
  }
  return [...heads.values()];
}
