import { lookup } from 'node:dns/promises';
import type { Config } from '../../mesh/config/config.js';
import type { Identity } from '../../mesh/identity/identity.js';
import { askIdentity } from '../../mesh/identity/trust.js';
import { type Address, formatAddress } from '../../mesh/terms/address.js';
import { Failure } from '../../mesh/terms/failure.js';
import { askOwnNode } from '../session/ask-own-node.js';
import { patienceOf } from '../session/ask-peers.js';
import type { Context } from '../session/context.js';
import { stranger } from './bare.js';
import { configAfter, type Unpacked } from './configured-paths.js';
import { absentAddress, configFor } from './rebuild.js';

/**
 * Refuses to make a machine the server that lives on it already, from another folder than its own: peers would refuse its node.
 * @param identity of the server
 * @param home the folder that the server's own configuration on this machine, or one that cannot be read, is for; null where
 *   none was found
 * @throws Failure `conflict`
 */
export async function refuseBesideLiving(
  context: Context,
  unpacked: Unpacked,
  identity: Identity,
  home: string | null,
): Promise<void> {
  const { target, entries } = unpacked;
  if (configFor(context, target, entries) === undefined) return;
  const config = await configAfter(context, unpacked);
  // What is wrong with it is told by the step that needs it.
  if (config === null || !(await answersHere(context, config.server.listen, identity))) return;
  const { name, listen } = config.server;
  // In its own folder the server may be put back while its node runs, which is then to be restarted.
  const isInPlace = home === target;
  if (isInPlace && (await runsOwnNode(context, config))) return;
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

/** Whether a node of this identity answers at an address, and that is of this machine: elsewhere a thief may have it. */
async function answersHere({ clock, signal, flags }: Context, listen: Address, identity: Identity): Promise<boolean> {
  try {
    const { address } = await lookup(listen.host);
    if (absentAddress({ ...listen, host: address }) !== null) return false;
    return (await askIdentity(listen, stranger(), { clock, signal, patience: patienceOf(flags) })) === identity;
  } catch {
    signal.throwIfAborted();
    return false;
  }
}

/** @param brought the configuration that tells where the node is asked, if the one that is here cannot be read */
async function runsOwnNode(context: Context, brought: Config): Promise<boolean> {
  const config = await context.loadConfig().catch(() => brought);
  return (await askOwnNode(context, config, async () => 'runs')) === 'runs';
}
