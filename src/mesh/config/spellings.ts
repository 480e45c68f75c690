import {
  type Alias,
  type Document,
  isMap,
  isPair,
  isScalar,
  isSeq,
  type Node,
  Pair,
  Scalar,
  visit,
  type YAMLMap,
} from 'yaml';
import type { ConfigDocument } from './document.js';

/** Sections of the predecessor's file that say nothing about backups. */
const ignoredSections = ['storage', 'services', 'wireguard', 'monitoring', 'advanced'];
/** Keys of WireGuard, and a note, that a peer may carry because one file described the VPN as well. */
const ignoredPeerKeys = ['public_key', 'endpoint', 'persistent_keepalive', 'description'];

type Hint = (pair: Pair, message: string) => void;

/**
 * Rewrites the predecessor's spellings in the document into today's, before it is checked. Nodes keep their place in the
 * text, so that an error in a moved value still names the right line.
 * @returns one hint for each spelling that was found, where it is first: its line and what to write today
 */
export function translateSpellings({ document, lineAt }: ConfigDocument): { line: number; message: string }[] {
  const hints: { line: number; message: string }[] = [];
  const root = document.contents;
  if (!isMap(root)) return hints;
  const targets = aliasTargets(document);
  const hint: Hint = (pair, message) => {
    if (hints.some((told) => told.message === message)) return;
    const offset = isScalar(pair.key) ? pair.key.range?.[0] : undefined;
    hints.push({ line: lineAt(offset ?? 0), message });
  };
  for (const name of ignoredSections) {
    const section = take(root, name);
    if (section !== undefined) hint(section, `\`${name}\` is not for backups and is ignored`);
  }
  translateNode(document, root, hint);
  const quota = translateQuota(root, hint);
  const peers = root.get('peers');
  for (const peer of isSeq(peers) ? peers.items : []) {
    if (isMap(peer)) translatePeer(peer, quota, hint);
  }
  writeOutAliases(document, targets);
  return hints.toSorted((a, b) => a.line - b.line);
}

function aliasTargets(document: Document.Parsed): Map<Alias, Node | undefined> {
  const targets = new Map<Alias, Node | undefined>();
  visit(document, { Alias: (_, alias) => void targets.set(alias, alias.resolve(document)) });
  return targets;
}

/** What an alias means stays where its anchor went with a section that is ignored, or was moved behind it. */
function writeOutAliases(document: Document.Parsed, targets: ReadonlyMap<Alias, Node | undefined>): void {
  visit(document, {
    Alias(_, alias) {
      const target = targets.get(alias);
      return target === alias.resolve(document) ? undefined : target;
    },
  });
}

function translateNode(document: Document.Parsed, root: YAMLMap, hint: Hint): void {
  const node = take(root, 'node');
  if (node === undefined) return;
  const name = isMap(node.value) ? take(node.value, 'name') : undefined;
  if (name === undefined) {
    hint(node, '`node` is not for backups and is ignored');
    return;
  }
  if (!root.has('server')) root.items.push(document.createPair('server', {}));
  const server = root.get('server');
  if (isMap(server) && server.has('name')) {
    hint(name, '`node.name` is ignored, because `server.name` is there');
  } else {
    hint(name, '`node.name` is called `server.name` now');
    if (isMap(server)) server.items.push(name);
  }
}

/** @returns the size that every peer has as its quota unless it names its own */
function translateQuota(root: YAMLMap, hint: Hint): unknown {
  const restic = take(root, 'restic_server');
  const size = restic !== undefined && isMap(restic.value) ? take(restic.value, 'max_size_per_peer') : undefined;
  if (size !== undefined) hint(size, '`restic_server.max_size_per_peer` is the `quota` of each peer now');
  else if (restic !== undefined) hint(restic, '`restic_server` is not used and is ignored');
  return size?.value;
}

function translatePeer(peer: YAMLMap, quota: unknown, hint: Hint): void {
  const ignored = peer.has('vpn_ip') ? [...ignoredPeerKeys, 'allowed_ips'] : ignoredPeerKeys;
  for (const key of ignored) {
    const pair = take(peer, key);
    if (pair !== undefined && key !== 'description') hint(pair, `\`${key}\` of a peer is WireGuard's and is ignored`);
  }
  const allowed = find(peer, 'allowed_ips');
  const address = singleHost(allowed?.value);
  if (allowed !== undefined && address !== undefined) {
    allowed.key = Object.assign(new Scalar('vpn_ip'), { range: isScalar(allowed.key) ? allowed.key.range : undefined });
    allowed.value = address;
    hint(allowed, '`allowed_ips` with one address is called `vpn_ip` now');
  }
  if (quota !== undefined && !peer.has('quota')) peer.items.push(new Pair(new Scalar('quota'), quota));
}

/** The one address in `10.8.0.2/32`, in a list of it, or in a list separated by commas; networks are passed over. */
function singleHost(node: unknown): Scalar | undefined {
  const scalars = (isSeq(node) ? node.items : [node]).filter((item) => isScalar(item));
  const hosts = scalars.flatMap((scalar) =>
    String(scalar.value)
      .split(',')
      .map((part) => /^\s*([^/\s]+)\/(?:32|128)\s*$/.exec(part)?.[1])
      .filter((host) => host !== undefined),
  );
  const [host] = hosts;
  return hosts.length === 1 && host !== undefined ? new Scalar(host) : undefined;
}

function find(map: YAMLMap, key: string): Pair | undefined {
  return map.items.find((pair) => isPair(pair) && isScalar(pair.key) && pair.key.value === key);
}

function take(map: YAMLMap, key: string): Pair | undefined {
  const pair = find(map, key);
  if (pair !== undefined) map.items.splice(map.items.indexOf(pair), 1);
  return pair;
}
