import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { openEnvelope } from '../../../mesh/envelope/open.js';
import { readAll } from '../../../mesh/files/read-all.js';
import type { DerivedKeys } from '../../../mesh/identity/recovery-key.js';
import { largestKit } from '../../../mesh/kit/kit.js';
import type { Peer } from '../../../mesh/peers/peer.js';
import { formatAddress } from '../../../mesh/terms/address.js';
import { kitSet } from '../../../mesh/terms/backup-name.js';
import { Failure } from '../../../mesh/terms/failure.js';
import type { Hostname } from '../../../mesh/terms/hostname.js';
import type { Context } from '../../session/context.js';
import { type Candidate, candidatesOf } from '../../survey/found.js';
import type { Mesh } from '../../survey/mesh.js';
import { survey } from '../../survey/survey.js';
import { downloadInto } from '../download/download-into.js';
import type { KnownPeer } from './confirm-peers.js';
import { type OpenedKit, openKitText } from './kit-source.js';
import { offerVpn, type VpnOptions } from './offer-vpn.js';
import { type BareMesh, meshOf, type Visited, visitorFor, visitPeers } from './visit.js';

/** Kits that are tried. The newest may be damaged where it lies, or be signed by whoever stole the node key. */
const mostTried = 3;

/**
 * The mesh of these peers, and of those that the newest kit of the server names which can be read there: one address is
 * enough to find all others, with the identity that the kit pins. From then on all have the names that the kit gives them, so
 * that nobody is taken for another. Whatever goes wrong with it, the restore goes on with the peers that it has.
 */
export async function openLearnedMesh(
  context: Context,
  server: Hostname,
  peers: readonly KnownPeer[],
  keys: DerivedKeys,
  options: VpnOptions,
): Promise<BareMesh> {
  const visitor = await visitorFor(context, server, keys);
  const visited = await visitPeers(context, visitor, peers);
  const named = await namedByKit(context, meshOf(context, visitor, visited, peers), options);
  const others = named.filter((peer) => isNew(peer, visited));
  if (others.length > 0) {
    context.screen.note(`The kit that the peers hold names ${others.map(({ name }) => name).join(', ')} too.`);
  }
  visited.push(...(await visitPeers(context, visitor, others)));
  return meshOf(context, visitor, visited, [...named, ...peers]);
}

/** Whether nobody was visited at that address, and the peer was not reached at another one. */
function isNew({ identity, address }: Peer, visited: readonly Visited[]): boolean {
  const where = formatAddress(address);
  return visited.every(
    (peer) => formatAddress(peer.address) !== where && ('failure' in peer || peer.identity !== identity),
  );
}

/** The peers that the newest kit in a mesh names, which is closed then; none where that cannot be read. */
async function namedByKit(
  context: Context,
  { mesh, bare: { keys, reached } }: BareMesh,
  options: VpnOptions,
): Promise<readonly Peer[]> {
  try {
    const opened = reached.length === 0 ? null : await openNewest(context, mesh, keys);
    if (opened === null) return [];
    const { kit, vpn } = opened;
    if (options.vpnDir !== undefined) await offerVpn(context, kit.server, vpn, options);
    return kit.peers;
  } catch (thrown) {
    tellUseless(context, 'the kit that the peers hold', thrown);
    return [];
  } finally {
    mesh.close();
  }
}

/** @throws Failure `interrupted` */
function tellUseless({ screen }: Context, kit: string, thrown: unknown): void {
  const failure = Failure.from(thrown);
  if (failure.kind === 'interrupted') throw failure;
  screen.warn(`${kit} is of no use: ${failure.message}`);
}

/** @returns null where there is none that can be read */
async function openNewest(context: Context, mesh: Mesh, keys: DerivedKeys): Promise<OpenedKit | null> {
  const { backups } = await survey(context, mesh, { owner: mesh.owner, set: kitSet });
  const newest = candidatesOf(backups)
    .filter(({ manifest: { facts } }) => facts.owner === mesh.owner && facts.size <= largestKit)
    .sort((a, b) => b.manifest.facts.sequence - a.manifest.facts.sequence)
    .slice(0, mostTried);
  for (const candidate of newest) {
    const { name, format } = candidate.manifest.facts;
    if (format !== 'age') {
      context.screen.detail(`${name} is not opened: it is sealed with the Restic key`);
      continue;
    }
    try {
      return await fetchKit(context, candidate, keys);
    } catch (thrown) {
      tellUseless(context, name, thrown);
    }
  }
  return null;
}

/** It is sealed still while it lies on this disk, in a folder that is removed. */
async function fetchKit(context: Context, candidate: Candidate, keys: DerivedKeys): Promise<OpenedKit> {
  const folder = await mkdtemp(join(tmpdir(), 'anemone-kit-'));
  try {
    const sealed = await downloadInto(context, candidate, folder, keys.ageIdentity, { resumable: false });
    try {
      const { plaintext } = await openEnvelope(readAll(sealed.file), { ageIdentities: [keys.ageIdentity] }, 'age');
      return await openKitText(await buffer(plaintext), sealed.label, keys);
    } finally {
      await sealed.discard();
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
