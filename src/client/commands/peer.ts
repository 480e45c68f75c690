import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Config } from '../../mesh/config/config.js';
import { addPeer as addToFile, removePeer as removeFromFile } from '../../mesh/config/edit.js';
import { parseIdentity } from '../../mesh/identity/identity.js';
import { formatAddress, parseAddress } from '../../mesh/terms/address.js';
import { formatByteSize, parseByteSize } from '../../mesh/terms/byte-size.js';
import { Failure } from '../../mesh/terms/failure.js';
import { parseHostname } from '../../mesh/terms/hostname.js';
import { renderTable } from '../render/table.js';
import { refreshKit, warnOfVpn } from '../server/kit-file.js';
import { asUsage } from '../session/as-usage.js';
import { askOwnNode } from '../session/ask-own-node.js';
import type { Context, ExitCode } from '../session/context.js';

export interface AddPeerOptions {
  readonly vpnIp: string;
  readonly identity: string;
  readonly quota?: string;
}

/** Adds a peer to the configuration file, or changes the one that moved, and has the running node follow. */
export async function addPeer(context: Context, name: string, options: AddPeerOptions): Promise<ExitCode> {
  const peer = {
    name: asUsage('NAME', () => parseHostname(name)),
    address: asUsage('--vpn-ip', () => parseAddress(options.vpnIp)),
    identity: asUsage('--identity', () => parseIdentity(options.identity)),
    ...(options.quota === undefined ? {} : { quota: checkedSize(options.quota) }),
  };
  const config = await context.loadConfig();
  const own = await context.self().catch(() => null);
  if (own?.identity === peer.identity) {
    throw new Failure('usage', `--identity is the one of this server itself, ${config.server.name}`, {
      hint: `Give the one that \`anemone-peer identity\` shows on ${peer.name}.`,
    });
  }
  const done = await addToFile(config.file, peer);
  const text = {
    added: `${peer.name} is now in ${config.file}.`,
    changed: `${peer.name} is changed in ${config.file}.`,
    same: `${peer.name} is in ${config.file} already.`,
  }[done];
  return conclude(context, config, { peer: peer.name, changed: done !== 'same', text });
}

/** Removes a peer from the configuration file, and has the running node follow. What is held for it stays. */
export async function removePeer(context: Context, name: string): Promise<ExitCode> {
  const config = await context.loadConfig();
  await removeFromFile(config.file, name);
  const folder = join(config.server.data, name);
  const stays = existsSync(folder)
    ? ` What it had backed up stays in ${folder}: docs/deploy.md says how to remove it.`
    : '';
  const text = `${name} is no longer in ${config.file}.${stays}`;
  return conclude(context, config, { peer: name, changed: true, text });
}

export async function listPeers({ screen, loadConfig }: Context): Promise<ExitCode> {
  const peers = (await loadConfig()).peers.map(({ identity, ...peer }) => ({ ...peer, identity: identity ?? '' }));
  screen.result(
    { peers: peers.map(({ address, ...peer }) => ({ ...peer, address: formatAddress(address) })) },
    (look) => {
      if (peers.length === 0 && look.terminal)
        return 'No peers yet. `anemone-peer identity` on another server shows how to add it.';
      const rows = peers.map((peer) => [
        peer.name,
        formatAddress(peer.address),
        peer.enabled ? 'enabled' : 'disabled',
        peer.quota === 0 ? 'no limit' : formatByteSize(peer.quota),
        peer.identity,
      ]);
      return renderTable(look, ['PEER', 'ADDRESS', 'STATE', 'QUOTA', 'IDENTITY'], rows);
    },
  );
  return 0;
}

/** The size as it was written, once it is known to be one. */
function checkedSize(text: string): string {
  asUsage('--quota', () => parseByteSize(text));
  return text;
}

interface Edit {
  readonly peer: string;
  readonly changed: boolean;
  readonly text: string;
}

/** Has the running node follow, and says how it went. The file is written by now, so a node that does not is `partly`. */
async function conclude(context: Context, config: Config, { peer, changed, text }: Edit): Promise<ExitCode> {
  const reloaded = await askOwnNode(context, config, (node, signal) => node.reload(signal));
  const [needsRestart, failure] = 'failure' in reloaded ? [[], reloaded.failure] : [reloaded, undefined];
  const kit = changed ? await kitAgain(context, config) : null;
  const node = failure === undefined ? 'follows' : failure.kind === 'unreachable' ? 'not running' : 'failed';
  context.screen.result({ peer, changed, file: config.file, node, needs_restart: needsRestart }, () => text);
  if (node === 'follows') context.screen.note('The running node follows.');
  else if (node === 'failed') context.screen.warn(`the running node does not follow: ${failure?.message}`);
  else context.screen.note('No node is running; it reads this when it starts.');
  for (const part of needsRestart) context.screen.warn(`${part} takes effect only after a restart of the node`);
  if (kit === 'refreshed') context.screen.note('The kit is refreshed: replace the copies that you keep elsewhere.');
  return node === 'failed' || kit === 'failed' ? 3 : 0;
}

/** The kit names the peers, so that it is written again; null where none is kept. */
async function kitAgain(context: Context, config: Config): Promise<'refreshed' | 'failed' | null> {
  try {
    const made = await refreshKit(config, context.clock.now());
    if (made === null) return null;
    warnOfVpn(context.screen, made);
    return 'refreshed';
  } catch (thrown) {
    context.screen.warn(`the kit is not refreshed: ${Failure.from(thrown).message}. Run \`anemone-peer kit\``);
    return 'failed';
  }
}
