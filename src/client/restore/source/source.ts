import { resolve } from 'node:path';
import { isSameFolder } from '../../../mesh/files/real-path.js';
import type { DerivedKeys } from '../../../mesh/identity/recovery-key.js';
import { enabledPeers } from '../../../mesh/peers/configured-peers.js';
import { Failure } from '../../../mesh/terms/failure.js';
import { parseHostname } from '../../../mesh/terms/hostname.js';
import { asUsage } from '../../session/as-usage.js';
import type { Context } from '../../session/context.js';
import type { Candidate } from '../../survey/found.js';
import { type Mesh, openMesh } from '../../survey/mesh.js';
import { configFileHere, refuseFolderOfAnother, serverHere } from '../configuration/server-here.js';
import { checkOwner, type Keys } from '../opening/keys.js';
import { confirmPeers, parsePeerAddress } from './confirm-peers.js';
import { openKitFile, readKitFile } from './kit-source.js';
import { openLearnedMesh } from './learn-peers.js';
import { offerVpn, type VpnOptions } from './offer-vpn.js';
import type { Bare } from './visit.js';

/** What a person may say of whom to ask. */
export interface SourceOptions extends VpnOptions {
  /** Path of a kit. */
  readonly kit?: string;
  readonly server?: string;
  readonly peer?: readonly string[];
  readonly target?: string;
}

export interface Source {
  readonly mesh: Mesh;
  /** Null where this machine has its node key. */
  readonly bare: Bare | null;
  /** The folder that is the target unless another one is named. */
  readonly base: string;
  /** The base of the configuration that this machine has of the server itself; null where it has none. */
  readonly home: string | null;
}

/** The mesh as this machine can reach it: with its own identity where there is one, else as a visitor with the recovery key. */
export async function openSource(context: Context, options: SourceOptions, keys: Keys): Promise<Source> {
  const yes = options.yes ?? false;
  if (options.kit !== undefined) return sourceOfKit(context, options.kit, options, keys);
  if (options.server !== undefined) {
    const name = options.server;
    const server = asUsage('--server', () => parseHostname(name));
    const home = await homeOf(context, server, options);
    // First the peers, then the key: nobody types 58 characters to learn that the VPN is down.
    const peers = await confirmPeers(context, (options.peer ?? []).map(parsePeerAddress), { yes });
    const derived = await keys.recoveryKey();
    return { ...(await openLearnedMesh(context, server, peers, derived, options)), base: context.cwd, home };
  }
  const config = await context.loadConfig().catch((cause: unknown) => {
    if (configFileHere(context) !== null) {
      const { kind, message, hint = '' } = Failure.from(cause);
      const instead = 'To restore without it: restore --kit FILE, or restore --server NAME --peer ADDRESS';
      throw new Failure(kind, message, { cause, hint: `${hint} ${instead}`.trim() });
    }
    throw new Failure('usage', 'there is no configuration here, so the peers are not known', {
      cause,
      hint: 'On a bare machine, give the kit: restore --kit FILE; or name the server and a peer: restore --server FR1 --peer 10.8.0.2',
    });
  });
  const { base } = config;
  if (await hasNodeKey(context)) return { mesh: await openMesh(context), bare: null, base, home: base };
  context.screen.note('This machine has no node key: its peers are visited with the recovery key.');
  const derived = await keys.recoveryKey();
  const mesh = await openLearnedMesh(context, config.server.name, enabledPeers(config), derived, {});
  return { ...mesh, base, home: base };
}

/**
 * Whether this machine has its node key. One that cannot be read is no missing one: the node may be running with it, and
 * would be locked out by a new one.
 * @throws Failure `config` when that cannot be known
 */
async function hasNodeKey(context: Context): Promise<boolean> {
  try {
    await context.self();
    return true;
  } catch (thrown) {
    const cause = Failure.from(thrown).cause as NodeJS.ErrnoException | undefined;
    const isUnread = cause?.syscall !== undefined || cause?.code === 'NOT_A_FILE';
    if (isUnread && cause.code !== 'ENOENT') throw thrown;
    return false;
  }
}

/** The peers of a kit, and those that are named beside it because one has moved; then those of a newer kit that they hold. */
async function sourceOfKit(context: Context, file: string, options: SourceOptions, keys: Keys): Promise<Source> {
  const named = (options.peer ?? []).map(parsePeerAddress);
  const kitFile = await readKitFile(context, file);
  const claimed = kitFile.signed.kit;
  // First what the kit says of itself, then the key: nobody types 58 characters for a restore that is refused.
  const home = await homeOf(context, claimed.server, options);
  if (claimed.peers.length + named.length === 0) {
    throw new Failure('usage', `the kit of ${claimed.server} names no peers`, { hint: 'Name one: --peer 10.8.0.2' });
  }
  const { kit, derived, vpn } = await openKitFile(context, kitFile, keys);
  await offerVpn(context, kit.server, vpn, options);
  const peers = await confirmPeers(context, [...kit.peers, ...named], { yes: options.yes ?? false });
  return { ...(await openLearnedMesh(context, kit.server, peers, derived, {})), base: context.cwd, home };
}

/**
 * The folder of a server that is named, where this machine has its configuration. One that cannot be read is that of the
 * folder that is restored into, which may be what it is to mend; elsewhere it is nobody's.
 * @throws Failure `usage` where it would come into the folder of another one
 */
async function homeOf(context: Context, server: string, { target }: SourceOptions): Promise<string | null> {
  const here = await serverHere(context);
  if (target === undefined) await refuseFolderOfAnother(here, server, context.cwd);
  if (here === null) return null;
  const goal = resolve(context.cwd, target ?? '.');
  const isHome = here.name === null ? await isSameFolder(here.base, goal) : here.name === server;
  return isHome ? here.base : null;
}

/** @throws Failure `wrong-key` when the recovery key is of another server */
export async function ageIdentityFor(
  { manifest }: Candidate,
  mesh: Mesh,
  derived: DerivedKeys | null,
  keys: Keys,
): Promise<string | null> {
  // Ciphertext that came sealed from its source may need another key: its first bytes tell, once they are here.
  if (manifest.facts.format !== 'age') return derived?.ageIdentity ?? null;
  if (derived !== null) return derived.ageIdentity;
  const key = await keys.openingKey();
  const identity = mesh.owners.get(mesh.owner);
  if (key.derived !== null) checkOwner(key.derived, identity, `${mesh.owner} has the identity ${identity}`);
  return key.ageIdentity;
}
