import { isDeepStrictEqual } from 'node:util';
import { isMap, isScalar, isSeq, parse, parseDocument, stringify, type YAMLSeq } from 'yaml';

/** A peer as the file spells it. */
export type PeerEntry = Readonly<Record<string, string | number>>;

/** The text with one more peer at the end of `peers`; undefined where its layout does not allow that. */
export function insertPeer(text: string, peer: PeerEntry): string | undefined {
  return checked(text, spliceIn(text, peer), (peers) => [...peers, peer]);
}

/** The text with other values of these keys of the peer at `index`; undefined where its layout does not allow that. */
export function changePeer(text: string, index: number, fields: PeerEntry): string | undefined {
  return checked(text, spliceFields(text, index, fields), (peers) =>
    peers.with(index, { ...(peers[index] as PeerEntry), ...fields }),
  );
}

/**
 * The text without the peer at `index`, and without the comment lines right above it; undefined where its layout does not
 * allow that.
 */
export function deletePeer(text: string, index: number): string | undefined {
  return checked(text, spliceOut(text, index), (peers) => peers.toSpliced(index, 1));
}

/** Whether the list of peers is in brackets, where an item has no dash. */
export function isInBrackets(text: string): boolean {
  const peers = parseDocument(text).get('peers');
  return isSeq(peers) && peers.flow === true;
}

/**
 * What was cut leaves every other byte alone, and is taken only if it reads back as exactly the change that was meant: an
 * anchor, for one, may give what was changed to other lines as well.
 */
function checked(
  text: string,
  spliced: string | undefined,
  wanted: (peers: readonly unknown[]) => unknown,
): string | undefined {
  const [before, after] = [valuesOf(text), spliced === undefined ? undefined : valuesOf(spliced)];
  if (before === undefined || after === undefined) return undefined;
  return isDeepStrictEqual(after, { ...before, peers: wanted(before.peers) }) ? spliced : undefined;
}

/** What the file says, where no list of peers and an empty one are the same; undefined when it cannot be read. */
function valuesOf(text: string): { readonly peers: readonly unknown[] } | undefined {
  try {
    const values = parse(text, { logLevel: 'error' });
    return { ...values, peers: values.peers ?? [] };
  } catch {
    return undefined;
  }
}

function spliceIn(text: string, peer: PeerEntry): string | undefined {
  const root = parseDocument(text).contents;
  if (!isMap(root) || root.flow === true) return undefined;
  const pair = root.items.find(({ key }) => isScalar(key) && key.value === 'peers');
  if (pair === undefined) return `${endLine(text)}peers:\n${block(text, peer, 2)}`;
  if (isSeq(pair.value) && pair.value.flow !== true && pair.value.items.length > 0) {
    const dash = dashOf(text, pair.value);
    const end = itemEnd(text, pair.value.items.at(-1), dash);
    if (dash === undefined || end === undefined) return undefined;
    return endLine(text.slice(0, end)) + block(text, peer, dash) + text.slice(end);
  }
  const keyEnd = rangeOf(pair.key)?.[1];
  if (keyEnd !== undefined && isScalar(pair.value) && pair.value.source === '') {
    // Nothing is written there, and what yaml gives as its range lies behind the comments that follow.
    const at = lineEnd(text, keyEnd);
    return endLine(text.slice(0, at)) + block(text, peer, 2) + text.slice(at);
  }
  const [from, to] = rangeOf(pair.value) ?? [];
  if (from === undefined || to === undefined) return undefined;
  const end = lineEnd(text, to);
  return endLine(text.slice(0, from).replace(/ +$/, '') + text.slice(to, end)) + block(text, peer, 2) + text.slice(end);
}

function spliceFields(text: string, index: number, fields: PeerEntry): string | undefined {
  let changed: string | undefined = text;
  for (const [key, value] of Object.entries(fields)) {
    const written = stringify(value, { lineWidth: 0 }).trimEnd();
    changed = changed === undefined ? undefined : spliceField(changed, index, key, written);
  }
  return changed;
}

function spliceField(text: string, index: number, key: string, written: string): string | undefined {
  const peer = parseDocument(text).getIn(['peers', index]);
  if (!isMap(peer)) return undefined;
  const pair = peer.items.find(({ key: name }) => isScalar(name) && name.value === key);
  const [from, to] = rangeOf(pair?.value) ?? [];
  if (from !== undefined) return text.slice(0, from) + written + text.slice(to);
  const [first] = rangeOf(peer.items[0]?.key) ?? [];
  const [, end] = rangeOf(peer) ?? [];
  if (pair !== undefined || peer.flow === true || first === undefined || end === undefined) return undefined;
  const at = lineAfter(text, end);
  const line = `${' '.repeat(first - lineStart(text, first))}${key}: ${written}${text.includes('\r\n') ? '\r\n' : '\n'}`;
  return endLine(text.slice(0, at)) + line + text.slice(at);
}

function spliceOut(text: string, index: number): string | undefined {
  const peers = parseDocument(text).get('peers');
  if (!isSeq(peers) || peers.flow === true) return undefined;
  const from = rangeOf(peers.items[index])?.[0];
  const dash = dashOf(text, peers);
  const to = itemEnd(text, peers.items[index], dash);
  if (dash === undefined || from === undefined || to === undefined) return undefined;
  const item = lineStart(text, from);
  let start = item;
  // Comments above the first peer may be about the whole list: they stay.
  for (let above = start; index > 0 && above > 0; ) {
    above = lineStart(text, above - 1);
    const comment = text.slice(above, start);
    const lead = /^ *(?=#)/.exec(comment)?.[0];
    if (lead === undefined || lead.length > dash) break;
    start = above;
    if (/^ *#\s*- /.test(comment)) {
      // Another peer that is commented out, and what follows is about that one.
      start = item;
      break;
    }
  }
  return text.slice(0, start) + text.slice(to);
}

/** The peer as lines that end as the lines of `text` do. */
function block(text: string, peer: PeerEntry, indent: number): string {
  const lines = stringify([peer], { lineWidth: 0 }).replace(/^(?=.)/gm, ' '.repeat(indent));
  return text.includes('\r\n') ? lines.replaceAll('\n', '\r\n') : lines;
}

/** The column of the `-` of the first item; undefined when something else stands before it. */
function dashOf(text: string, sequence: YAMLSeq): number | undefined {
  const offset = rangeOf(sequence.items[0])?.[0];
  if (offset === undefined) return undefined;
  return /^( *)- *$/.exec(text.slice(lineStart(text, offset), offset))?.[1]?.length;
}

/**
 * The offset after an item: after the line on which its value ends, and after the comments below that are indented deeper
 * than its dash. These are keys that it leaves out, or about them.
 */
function itemEnd(text: string, item: unknown, dash: number | undefined): number | undefined {
  const end = rangeOf(item)?.[1];
  if (end === undefined || dash === undefined) return undefined;
  const deeper = new RegExp(`(?:(?:[ \\t]*\\r?\\n)* {${dash + 1},}#[^\\n]*\\n?)*`, 'y');
  deeper.lastIndex = lineAfter(text, end);
  deeper.test(text);
  return deeper.lastIndex;
}

function rangeOf(node: unknown): readonly [number, number, number] | undefined {
  return (isMap(node) || isSeq(node) || isScalar(node) ? node.range : undefined) ?? undefined;
}

/** Where the line after a value begins that ends at `end`: some values end with their line. */
function lineAfter(text: string, end: number): number {
  return text[end - 1] === '\n' ? end : lineEnd(text, end);
}

function lineStart(text: string, offset: number): number {
  return offset === 0 ? 0 : text.lastIndexOf('\n', offset - 1) + 1;
}

function lineEnd(text: string, offset: number): number {
  const newline = text.indexOf('\n', offset);
  return newline === -1 ? text.length : newline + 1;
}

function endLine(text: string): string {
  return text === '' || text.endsWith('\n') ? text : `${text}\n`;
}
