import type { NetworkInterfaceInfo } from 'node:os';
import { describe, expect, it } from 'vitest';
import { vpnAddress } from '../../../src/client/server/vpn-address.js';

function at(address: string): NetworkInterfaceInfo {
  const common = { address, netmask: '', mac: '', internal: false, cidr: null };
  return address.includes(':') ? { ...common, family: 'IPv6', scopeid: 0 } : { ...common, family: 'IPv4' };
}

describe('the address in the VPN', () => {
  it('is that of the one VPN interface; the IPv4 one of several', () => {
    expect(vpnAddress({ eth0: [at('192.0.2.7')], wg0: [at('fd00::1'), at('10.8.0.1')] })).toBe('10.8.0.1');
    expect(vpnAddress({ tailscale0: [at('fe80::9'), at('fd7a::2')] })).toBe('fd7a::2');
  });

  it('is asked for when there is none, or more than one', () => {
    expect(() => vpnAddress({ eth0: [at('192.0.2.7')], wg1: [at('fe80::1')] })).toThrow('no VPN interface');
    expect(() => vpnAddress({ wg0: [at('10.8.0.1')], tailscale0: [at('100.64.0.1')] })).toThrow(
      'wg0 (10.8.0.1), tailscale0 (100.64.0.1)',
    );
  });
});
