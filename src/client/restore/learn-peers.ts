import { mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openEnvelope } from '../../mesh/envelope/open.js';
import { readAll } from '../../mesh/files/read-all.js';
import type { DerivedKeys } from '../../mesh/identity/recovery-key.js';
import { largestKit } from '../../mesh/kit/kit.js';
import { kitSet } from '../../mesh/terms/backup-name.js';
import { Failure } from '../../mesh/terms/failure.js';
import type { Context } from '../session/context.js';
import { survey } from '../survey/survey.js';
import { type BareMesh, notVisited, withPeersOf } from './bare.js';
import { type Candidate, candidatesOf } from './choose.js';
import { download } from './download/download.js';
import { type OpenedKit, openKitText } from './kit-source.js';
import { offerVpn, type VpnOptions } from './offer-vpn.js';

/** Kits that are tried. The newest may be damaged where it lies, or be signed by whoever stole the node key. */
const mostTried = 3;

/**
 * Looks in the mesh for the newest kit of the server that is brought back that can be read, and asks the peers it names as
 * well: one address is enough to find all others, with the identity that the kit pins. From then on all have the names that
 * the kit gives them, so that nobody is taken for another. Whatever goes wrong with it, the restore goes on with the peers
 * that it has.
 */
export async function learnPeers(
  context: Context,
  mesh: BareMesh,
  derived: DerivedKeys,
  options: VpnOptions,
): Promise<BareMesh> {
  if (mesh.reached.length === 0) return mesh;
  const { screen } = context;
  try {
    const opened = await openNewest(context, mesh, derived);
    if (opened === null) return mesh;
    const { kit, vpn } = opened;
    if (options.vpnDir !== undefined) await offerVpn(context, kit.server, vpn, options);
    const others = notVisited(kit.peers, mesh).map(({ name }) => name);
    if (others.length > 0) screen.note(`The kit that the peers hold names ${others.join(', ')} too.`);
    return await withPeersOf(kit.peers, context, mesh);
  } catch (thrown) {
    tellUseless(context, 'the kit that the peers hold', thrown);
    return mesh;
  }
}

/** @throws Failure `interrupted` */
function tellUseless({ screen }: Context, kit: string, thrown: unknown): void {
  const failure = Failure.from(thrown);
  if (failure.kind === 'interrupted') throw failure;
  screen.warn(`${kit} is of no use: ${failure.message}`);
}

/** @returns null where there is none that can be read */
async function openNewest(context: Context, mesh: BareMesh, derived: DerivedKeys): Promise<OpenedKit | null> {
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
      return await fetchKit(context, candidate, derived);
    } catch (thrown) {
      tellUseless(context, name, thrown);
    }
  }
  return null;
}

/** It is sealed still while it lies on this disk, in a folder that is removed. */
async function fetchKit(
  { clock, signal, screen }: Context,
  { manifest, copies }: Candidate,
  derived: DerivedKeys,
): Promise<OpenedKit> {
  const { name } = manifest.facts;
  const folder = await mkdtemp(join(tmpdir(), 'anemone-kit-'));
  try {
    const file = await open(join(folder, name), 'wx+', 0o600);
    try {
      const holders = copies.map(({ holder }) => holder);
      await download(manifest, holders, file, {
        clock,
        folder,
        progress: () => {},
        dropped: (_holder, why) => screen.warn(why.message),
        signal,
      });
      const { plaintext } = await openEnvelope(readAll(file), { ageIdentities: [derived.ageIdentity] }, 'age');
      const chunks: Uint8Array[] = [];
      for await (const chunk of plaintext) chunks.push(chunk);
      return await openKitText(Buffer.concat(chunks), name, derived);
    } finally {
      await file.close();
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
