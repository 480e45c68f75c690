import { Failure } from './failure.js';

declare const brand: unique symbol;
/** The name of a server, safe as one path component: it was made by {@link parseHostname}. */
export type Hostname = string & { readonly [brand]: 'Hostname' };

const pattern = /^[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?$/;

/**
 * The one parser of hostnames. Letters, digits and inner hyphens, 1 to 63 characters (RFC 1123); `local` is the folder of
 * a server's own backups and can name no server.
 * @throws Failure `invalid`
 */
export function parseHostname(text: string): Hostname {
  if (!pattern.test(text)) {
    throw new Failure('invalid', `${JSON.stringify(text.slice(0, 80))} is not a hostname`, {
      hint: 'A hostname has 1 to 63 letters, digits and inner hyphens, such as FR1 or web-2.',
    });
  }
  if (text.toLowerCase() === 'local') {
    throw new Failure('invalid', '`local` cannot name a server: it is the folder of its own backups');
  }
  return text as Hostname;
}
