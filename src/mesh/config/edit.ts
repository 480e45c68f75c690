import { stringify } from 'yaml';
import { type Address, defaultPort, formatAddress } from '../terms/address.js';
import { parseByteSize } from '../terms/byte-size.js';
import { Failure } from '../terms/failure.js';
import type { PeerConfig } from './config.js';
import { decodeConfig } from './document.js';
import { type LoadedConfig, parseConfig, readConfigBytes } from './load.js';
import { changePeer, deletePeer, insertPeer, isInBrackets, type PeerEntry } from './peer-list.js';
import { replaceConfig } from './replace-config.js';
import { didYouMean } from './values.js';

export interface NewPeer {
  readonly name: string;
  readonly address: Address;
  readonly identity: string;
  /** As written, such as `10GB`; without it, the default. */
  readonly quota?: string | number;
}

/**
 * Adds a peer to the configuration file; comments and layout stay. Of one that is there with the same identity, the address
 * and a quota that is given are changed, and nothing else. The result is checked before it replaces the file.
 * @returns `same` when exactly this peer is there already, and nothing was changed
 * @throws Failure `config` when the name is taken by another server, the result would be wrong, or the layout of the file
 * needs a person, who is told what to write
 */
export async function addPeer(file: string, peer: NewPeer): Promise<'added' | 'changed' | 'same'> {
  const { bytes, text, loaded } = await readForEdit(file);
  const { peers } = loaded.config;
  const present = peers.find(({ name }) => name.toLowerCase() === peer.name.toLowerCase());
  const fields = present === undefined ? fieldsOf(peer) : changeOf(file, present, peer);
  if (Object.keys(fields).length === 0) return 'same';
  const changed = present === undefined ? insertPeer(text, fields) : changePeer(text, peers.indexOf(present), fields);
  if (changed === undefined) {
    const line = stringify(fields, { lineWidth: 0, collectionStyle: 'flow' }).trimEnd();
    if (present !== undefined) throw byHand(file, `write into the peer ${peer.name}:\n${line}`);
    throw byHand(file, `add to \`peers\`:\n${isInBrackets(text) ? '' : '- '}${line}`);
  }
  parseConfig(file, changed);
  await replaceConfig(file, bytes, changed);
  return present === undefined ? 'added' : 'changed';
}

function fieldsOf({ name, address, identity, quota }: NewPeer): PeerEntry {
  const vpn_ip = address.port === defaultPort ? address.host : formatAddress(address);
  return { name, vpn_ip, identity, ...(quota === undefined ? {} : { quota }) };
}

/**
 * What is another one of a peer that is there.
 * @throws Failure `config` when it is another server that has the name, or a peer that a person switched off
 */
function changeOf(file: string, present: PeerConfig, wanted: NewPeer): PeerEntry {
  const { name } = present;
  if (name !== wanted.name || present.identity !== wanted.identity) {
    throw new Failure('config', `${file} has a peer ${name} already, with another name or identity`, {
      hint: `Compare them. If it is another server, run \`anemone-peer peer remove ${name}\` first.`,
    });
  }
  if (!present.enabled) {
    throw new Failure('config', `${file} has a peer ${name} already, and it is not enabled`, {
      hint: 'Write `enabled: true` into the file.',
    });
  }
  const { vpn_ip, quota } = fieldsOf(wanted);
  return {
    ...(formatAddress(present.address) === formatAddress(wanted.address) ? {} : { vpn_ip }),
    ...(quota === undefined || parseByteSize(quota) === present.quota ? {} : { quota }),
  };
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
    throw new Failure('not-found', `${file} has no peer ${JSON.stringify(name.slice(0, 80))}`, {
      hint: didYouMean(name, names) ?? 'See `anemone-peer peer list`.',
    });
  }
  const changed = deletePeer(text, index);
  if (changed === undefined) throw byHand(file, `take ${name} out of \`peers\`.`);
  parseConfig(file, changed);
  await replaceConfig(file, bytes, changed);
}

function byHand(file: string, what: string): Failure {
  const message = `the peers in ${file} are laid out so that this program cannot change them without moving other lines`;
  return new Failure('config', message, { hint: `Edit the file by hand: ${what}` });
}

async function readForEdit(file: string): Promise<{ bytes: Buffer; text: string; loaded: LoadedConfig }> {
  const bytes = await readConfigBytes(file);
  const text = decodeConfig(file, bytes);
  return { bytes, text, loaded: parseConfig(file, text) };
}
