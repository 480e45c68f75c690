import { formatAddress } from '../terms/address.js';
import { Failure } from '../terms/failure.js';
import { defaultPort } from './address.js';
import type { Address, PeerConfig } from './config.js';
import { decodeConfig } from './document.js';
import { type LoadedConfig, parseConfig, readConfigBytes } from './load.js';
import { deletePeer, insertPeer } from './peer-list.js';
import { replaceConfig } from './replace-config.js';
import { nearest } from './values.js';

export interface NewPeer {
  readonly name: string;
  readonly address: Address;
  readonly identity: string;
  /** As written, such as `10GB`; without it, the default. */
  readonly quota?: string | number;
}

/**
 * Adds a peer to the configuration file; comments and layout stay. The result is checked before it replaces the file.
 * @returns false when exactly this peer is there already, and nothing was changed
 * @throws Failure `config` when the name is taken by a peer that differs, or the result would be wrong
 */
export async function addPeer(file: string, peer: NewPeer): Promise<boolean> {
  const { bytes, text, loaded } = await readForEdit(file);
  const entry = {
    name: peer.name,
    vpn_ip: peer.address.port === defaultPort ? peer.address.host : formatAddress(peer.address),
    identity: peer.identity,
    ...(peer.quota === undefined ? {} : { quota: peer.quota }),
  };
  const present = loaded.config.peers.find(({ name }) => name.toLowerCase() === peer.name.toLowerCase());
  const changed = present === undefined ? insertPeer(text, entry) : text;
  if (present !== undefined) {
    const wanted = parseConfig(file, insertPeer(deletePeer(text, loaded.config.peers.indexOf(present)), entry));
    if (isSame(present, wanted.config.peers.at(-1), peer)) return false;
    throw new Failure('config', `${file} has a peer ${present.name} already, and it differs`, {
      hint: `Compare identity, address, quota and enabled; edit the file, or run \`anemone-peer peer remove ${present.name}\` first.`,
    });
  }
  parseConfig(file, changed);
  await replaceConfig(file, bytes, changed);
  return true;
}

/**
 * Removes a peer from the configuration file; comments and layout of the rest stay.
 * @throws Failure `not-found` when no peer has that name, `config` when the file cannot be changed
 */
export async function removePeer(file: string, name: string): Promise<void> {
  const { bytes, text, loaded } = await readForEdit(file);
  const names = loaded.config.peers.map((peer) => peer.name as string);
  const index = names.indexOf(name);
  if (index === -1) {
    const near = nearest(name, names);
    throw new Failure('not-found', `${file} has no peer ${JSON.stringify(name.slice(0, 80))}`, {
      hint: near === undefined ? 'See `anemone-peer peer list`.' : `Did you mean ${near}?`,
    });
  }
  const changed = deletePeer(text, index);
  parseConfig(file, changed);
  await replaceConfig(file, bytes, changed);
}

async function readForEdit(file: string): Promise<{ bytes: Buffer; text: string; loaded: LoadedConfig }> {
  const bytes = await readConfigBytes(file);
  const text = decodeConfig(file, bytes);
  return { bytes, text, loaded: parseConfig(file, text) };
}

function isSame(present: PeerConfig, wanted: PeerConfig | undefined, { quota }: NewPeer): boolean {
  return (
    wanted !== undefined &&
    present.name === wanted.name &&
    present.enabled &&
    present.identity === wanted.identity &&
    formatAddress(present.address) === formatAddress(wanted.address) &&
    (quota === undefined || present.quota === wanted.quota)
  );
}
