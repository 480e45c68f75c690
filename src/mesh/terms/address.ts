import { isIPv4, isIPv6 } from 'node:net';
import { Failure } from './failure.js';

/** Where a server listens, or is called. */
export interface Address {
  /** An IP address (without brackets) or a name. */
  readonly host: string;
  readonly port: number;
}

export const defaultPort = 7443;

const label = '[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?';
const hostPattern = new RegExp(`^${label}(?:\\.${label})*$`);

/**
 * Reads `10.8.0.1`, `10.8.0.1:7443`, `[fd00::1]:7443`, `fd00::1`, `host.example` or `host.example:7443`; the port is
 * 7443 unless given.
 * @throws Failure `invalid`
 */
export function parseAddress(text: string): Address {
  // In this order: what Node looks for IPv6 with takes 5 ms when it is first needed.
  const address = splitAddress(text) ?? (isIPv6(text) ? { host: text, port: defaultPort } : undefined);
  if (address === undefined) {
    throw new Failure('invalid', `${JSON.stringify(text.slice(0, 120))} is not an address`, {
      hint: text.includes('/')
        ? 'Write the address alone, without the length of a network.'
        : 'An address is an IP address or a name, with a port or without: 10.8.0.1:7443, [fd00::1]:7443.',
    });
  }
  return address;
}

/** `10.8.0.2:7443`, `[fd00::2]:7443`: the port is always there. */
export function formatAddress({ host, port }: Address): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

/** Whether a server that listens there listens on every address of its machine; no peer can call it there. */
export function isEveryAddress({ host }: Address): boolean {
  return /^[0:.]+$/.test(host);
}

function splitAddress(text: string): Address | undefined {
  const [, bracketed, plain, digits] = /^(?:\[([^[\]]*)\]|([^:[\]]+))(?::(\d{1,5}))?$/.exec(text) ?? [];
  const port = digits === undefined ? defaultPort : Number(digits);
  const host = bracketed ?? plain;
  if (host === undefined || port < 1 || port > 65_535) return undefined;
  const right = bracketed === undefined ? isIPv4(host) || isHostName(host) : isIPv6(host);
  return right ? { host, port } : undefined;
}

/** A name whose last label is a number would be taken for an IPv4 address, and is a mistyped one. */
function isHostName(host: string): boolean {
  return host.length <= 253 && hostPattern.test(host) && !/(?:^|\.)\d+$/.test(host);
}
