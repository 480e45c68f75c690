import type { Config } from '../config/config.js';
import type { Identity } from '../identity/identity.js';
import type { Address } from '../terms/address.js';
import type { Hostname } from '../terms/hostname.js';

/** Everything but the recovery key that a bare machine needs to become a server again. */
export interface Kit {
  readonly server: Hostname;
  readonly identity: Identity;
  /** Where the server was reached by its peers. */
  readonly address: Address;
  /** Public age keys that its backups are sealed to; empty for the format anemone-cbc1. */
  readonly recipients: readonly string[];
  readonly peers: readonly KitPeer[];
  readonly vpn: KitVpn;
}

export interface KitPeer {
  readonly name: Hostname;
  readonly address: Address;
  readonly identity: Identity;
}

/**
 * The VPN configuration. `sealed`: for a kit that lies about; opens with the recovery key, unless the configuration names
 * other recipients only. `open`: for the kit that travels to peers as a backup, which is sealed as a whole, and so stays the
 * same bytes for as long as nothing changes.
 */
export type KitVpn =
  | { readonly kind: 'sealed'; readonly files: readonly Omit<VpnFile, 'content'>[]; readonly armor: string }
  | { readonly kind: 'open'; readonly files: readonly VpnFile[] };

export interface VpnFile {
  /** Where it was on the server, absolute. */
  readonly path: string;
  /** Bytes of its content. */
  readonly size: number;
  readonly content: string;
}

/** What a kit cannot carry, and why. */
export interface MissingVpn {
  readonly path: string;
  readonly reason: string;
}

/** The lines around the part of a kit that programs read. */
export const kitBegin = '-----BEGIN ANEMONE KIT-----';
export const kitEnd = '-----END ANEMONE KIT-----';

/** The version of that part which this program writes and reads. */
export const kitVersion = 1;

/** Files of a VPN configuration that a kit holds at most. */
export const mostVpnFiles = 32;

/** The longest kit that is read, in bytes; one with 50 peers and a VPN has about 40 KB. */
export const largestKit = 1_048_576;

/** How texts are written down in a kit: line by line, as they are. */
export const yamlOfKit = { lineWidth: 0, blockQuote: 'literal' } as const;

/** What of a configuration a kit holds, without the VPN. */
export function factsOf(config: Config, identity: Identity): Omit<Kit, 'vpn'> {
  const { server, peers, backup } = config;
  return {
    server: server.name,
    identity,
    address: server.listen,
    recipients: backup.encryption.format === 'age' ? backup.encryption.recipients : [],
    peers: peers.flatMap(({ name, address, identity, enabled }) =>
      enabled && identity !== null ? [{ name, address, identity }] : [],
    ),
  };
}

/** The file name of a kit, which `init` and `kit` write beside the configuration. */
export function kitFileName(server: Hostname): string {
  return `anemone-kit-${server}.txt`;
}
