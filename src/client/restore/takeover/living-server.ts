import { lookup } from 'node:dns/promises';
import type { Config } from '../../../mesh/config/config.js';
import type { Identity } from '../../../mesh/identity/identity.js';
import { findFirst, loadServerIdentity } from '../../../mesh/identity/server-identity.js';
import { askIdentity } from '../../../mesh/identity/trust.js';
import { formatAddress, isEveryAddress } from '../../../mesh/terms/address.js';
import { Failure } from '../../../mesh/terms/failure.js';
import { stateFolder } from '../../server/state-folder.js';
import { askOwnNode } from '../../session/ask-own-node.js';
import { patienceOf } from '../../session/ask-peers.js';
import type { Context } from '../../session/context.js';
import type { ConfigAfter } from '../configuration/config-after.js';
import { stranger } from '../source/confirm-peers.js';
import { absentAddress } from './rebuild.js';

/** What a machine would become, and where. */
interface Newcomer {
  readonly target: string;
  /** Of the server. */
  readonly identity: Identity;
  /** The folder that the server's own configuration here, or one that cannot be read, is for; null where none was found. */
  readonly home: string | null;
}

/**
 * Refuses to make a machine the server that lives on it already, from another folder than its own: peers would refuse its node.
 * Nor does it take the place of the node key of another one.
 * @throws Failure `conflict`
 */
export async function refuseBesideLiving(
  context: Context,
  { file, config }: ConfigAfter,
  { target, identity, home }: Newcomer,
): Promise<void> {
  if (file === undefined || config === null) return;
  const { name, listen } = config.server;
  await refuseKeyOfAnother(stateFolder(config), name, identity);
  // In its own folder the server may be put back while its node runs, which is then to be restarted.
  const isInPlace = home === target;
  if (isInPlace && (await runsOwnNode(context, config))) return;
  if (!(await answersHere(context, config, identity))) return;
  throw new Failure(
    'conflict',
    `nothing was restored: ${name} lives on this machine, its node answers at ${formatAddress(listen)}, and if ${target} ` +
      `became ${name}, all peers would refuse that node`,
    {
      hint: [
        'To look at the backup, give --no-takeover.',
        ...(isInPlace
          ? []
          : ['To put it back, restore in the folder of the server itself, or name its configuration with --config.']),
        `To have ${name} here from now on, stop that node first.`,
      ].join(' '),
    },
  );
}

/** Whether the data folder of the configuration here is gone, as where its disk is not mounted; a person is told then. */
export async function missesData({ screen, loadConfig }: Context): Promise<boolean> {
  const config = await loadConfig().catch(() => null);
  const first = config && (await findFirst(stateFolder(config)));
  if (first !== null) screen.warn(`${first} A new node key made without it locks out the one that lies there.`);
  return first !== null;
}

/** Whether this machine has a node key of the server already, where the configuration that counts has it. */
export async function isServerAlready({ config }: ConfigAfter, identity: Identity): Promise<boolean> {
  if (config === null) return false;
  const there = await loadServerIdentity(stateFolder(config)).catch(() => null);
  return there?.identity === identity;
}

/** The configuration there may be one that cannot be read, and so not tell that the folder is another server's. */
async function refuseKeyOfAnother(state: string, name: string, identity: Identity): Promise<void> {
  const there = await loadServerIdentity(state).catch(() => null);
  if (there === null || there.identity === identity) return;
  throw new Failure(
    'conflict',
    `nothing was restored: ${state} has a node key of another identity than the recovery key of ${name}: ${there.identity}`,
    {
      hint: `Where it is not needed any more, as one that \`init\` has just made, move ${state} away; else give another --target.`,
    },
  );
}

/**
 * Whether a node of this identity answers at its address, and that is of this machine: elsewhere a thief may have it.
 * @throws Failure `conflict` where something is there that does not tell
 */
async function answersHere(
  { clock, signal, flags }: Context,
  { server }: Config,
  identity: Identity,
): Promise<boolean> {
  // A node that listens at every address may be found at this one only, as where IPv6 is switched off.
  const host = isEveryAddress(server.listen) ? '127.0.0.1' : await lookUp(server.listen.host, signal);
  const listen = { ...server.listen, host };
  if (host === '' || absentAddress(listen) !== null) return false;
  try {
    return (await askIdentity(listen, stranger(), { clock, signal, patience: patienceOf(flags) })) === identity;
  } catch (thrown) {
    signal.throwIfAborted();
    const { kind, message, cause } = Failure.from(thrown);
    const { code = '' } = (cause ?? {}) as NodeJS.ErrnoException;
    // Nothing listens there, or something else does.
    if (kind === 'untrusted' || nobodyListens.includes(code)) return false;
    throw new Failure('conflict', `nothing was restored: ${server.name} may live on this machine, for ${message}`, {
      cause: thrown,
      hint: `To look at the backup, give --no-takeover. To have ${server.name} here from now on, stop what listens there first.`,
    });
  }
}

/** How a call to an address of this machine ends where nothing listens, or can: also where its IPv6 is switched off. */
const nobodyListens: readonly string[] = ['ECONNREFUSED', 'EADDRNOTAVAIL', 'EAFNOSUPPORT', 'ENETUNREACH'];

/** The address of a host; empty where nothing tells it, as on a machine that is not in the VPN yet: no node listens there. */
function lookUp(host: string, signal: AbortSignal): Promise<string> {
  return new Promise((resolve, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason), { once: true });
    lookup(host).then(
      ({ address }) => resolve(address),
      () => resolve(''),
    );
  });
}

/** @param brought the configuration that tells where the node is asked, if the one that is here cannot be read */
async function runsOwnNode(context: Context, brought: Config): Promise<boolean> {
  const config = await context.loadConfig().catch(() => brought);
  return (await askOwnNode(context, config, async () => 'runs')) === 'runs';
}
