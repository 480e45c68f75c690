import type { NetworkInterfaceInfo } from 'node:os';
import { Failure } from '../../mesh/terms/failure.js';

/** How the interfaces of the usual VPNs are called. */
const vpnInterface = /^(wg|tailscale|wt|zt|tun|utun|nordlynx)/;

/**
 * The address of this machine in its VPN, when there is exactly one VPN interface; of several addresses, the IPv4 one.
 * @throws Failure `usage` that asks for `--listen`
 */
export function vpnAddress(interfaces: NodeJS.Dict<NetworkInterfaceInfo[]>): string {
  const found = Object.entries(interfaces).flatMap(([name, addresses = []]) => {
    const usable = addresses.filter(({ address }) => !address.toLowerCase().startsWith('fe80:'));
    const best = usable.find(({ family }) => family === 'IPv4') ?? usable[0];
    return vpnInterface.test(name) && best !== undefined ? [{ name, address: best.address }] : [];
  });
  const [only, ...others] = found;
  if (only !== undefined && others.length === 0) return only.address;
  const what =
    only === undefined
      ? 'this machine has no VPN interface (wg*, tailscale*, …)'
      : `this machine has several VPN interfaces: ${found.map((each) => `${each.name} (${each.address})`).join(', ')}`;
  throw new Failure('usage', what, {
    hint: 'Say where peers reach this server, such as --listen 10.8.0.1; --listen 0.0.0.0 listens on every interface.',
  });
}
