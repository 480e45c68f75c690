import { keyText, type Place } from './problem.js';
import { isMapping } from './section.js';

/** Sections of the predecessor's file that say nothing about backups. */
const ignoredSections = ['storage', 'services', 'wireguard', 'monitoring', 'advanced'];
/** Keys of WireGuard that a peer may carry because one file described the VPN as well. */
const ignoredPeerKeys = ['public_key', 'endpoint', 'persistent_keepalive'];

type Values = Record<string, unknown>;
type Hint = (at: Place, message: string) => void;

export interface Translated {
  readonly value: unknown;
  /** One for each spelling that was found, where it is first: its place in the file and what to write today. */
  readonly hints: readonly { readonly at: Place; readonly message: string }[];
  /** Where in the file stands what is here in `value`. */
  placeOf(path: Place): Place;
}

/** What a file says in the predecessor's spellings, in today's. */
export function translateSpellings(written: unknown): Translated {
  const hints: { at: Place; message: string }[] = [];
  const moved = new Map<string, Place>();
  const placeOf = (path: Place): Place => moved.get(keyText(path)) ?? path;
  if (!isMapping(written)) return { value: written, hints, placeOf };
  const hint: Hint = (at, message) => {
    if (!hints.some((told) => told.message === message)) hints.push({ at, message });
  };
  const move = (from: Place, to: Place): void => void moved.set(keyText(to), from);
  const { node, restic_server, ...value } = written;
  for (const name of ignoredSections.filter((section) => section in value)) {
    hint([name], `\`${name}\` is not for backups and is ignored`);
    delete value[name];
  }
  if (isMapping(node) && 'name' in node) {
    const { server = {} } = value;
    if (isMapping(server) && 'name' in server) {
      hint(['node', 'name'], '`node.name` is ignored, because `server.name` is there');
    } else {
      hint(['node', 'name'], '`node.name` is called `server.name` now');
      move(['node', 'name'], ['server', 'name']);
      if (isMapping(server)) value['server'] = { ...server, name: node['name'] };
    }
  } else if ('node' in written) {
    hint(['node'], '`node` is not for backups and is ignored');
  }
  const hasQuota = isMapping(restic_server) && 'max_size_per_peer' in restic_server;
  const given = hasQuota ? { quota: restic_server['max_size_per_peer'] } : {};
  if (hasQuota) {
    const at = ['restic_server', 'max_size_per_peer'];
    hint(at, '`restic_server.max_size_per_peer` is the `quota` of each peer now');
  } else if ('restic_server' in written) {
    hint(['restic_server'], '`restic_server` is not used and is ignored');
  }
  if (Array.isArray(value['peers'])) {
    value['peers'] = value['peers'].map((peer, index) =>
      isMapping(peer) ? { ...given, ...translatePeer(peer, ['peers', index], hint, move) } : peer,
    );
  }
  return { value, hints, placeOf };
}

function translatePeer(written: Values, at: Place, hint: Hint, move: (from: Place, to: Place) => void): Values {
  const { description: _, ...peer } = written;
  for (const key of 'vpn_ip' in peer ? [...ignoredPeerKeys, 'allowed_ips'] : ignoredPeerKeys) {
    if (key in peer) hint([...at, key], `\`${key}\` of a peer is WireGuard's and is ignored`);
    delete peer[key];
  }
  const { allowed_ips, ...rest } = peer;
  const vpn_ip = singleHost(allowed_ips);
  if (vpn_ip === undefined) return peer;
  hint([...at, 'allowed_ips'], '`allowed_ips` with one address is called `vpn_ip` now');
  move([...at, 'allowed_ips'], [...at, 'vpn_ip']);
  return { ...rest, vpn_ip };
}

/** The one address in `10.8.0.2/32`, in a list of it, or in a list separated by commas; networks are passed over. */
function singleHost(written: unknown): string | undefined {
  const texts = (Array.isArray(written) ? written : [written]).filter((one) => typeof one === 'string');
  const hosts = texts.flatMap((text) =>
    text.split(',').flatMap((part) => /^\s*([^/\s]+)\/(?:32|128)\s*$/.exec(part)?.[1] ?? []),
  );
  return hosts.length === 1 ? hosts[0] : undefined;
}
