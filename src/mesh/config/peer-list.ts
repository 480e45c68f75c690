import { isDeepStrictEqual } from 'node:util';
import { type Document, isAlias, isMap, isScalar, isSeq, parseDocument, stringify, type YAMLSeq } from 'yaml';
import { Failure } from '../terms/failure.js';

/** A peer as the file spells it. */
export type PeerEntry = Readonly<Record<string, string | number>>;

/** The text with one more peer at the end of `peers`. */
export function insertPeer(text: string, peer: PeerEntry): string {
  const changed = documentOf(text);
  const peers = changed.get('peers');
  if (isSeq(peers)) peers.add(changed.createNode(peer));
  else changed.set('peers', changed.createNode([peer]));
  return keepLayout(text, changed, spliceIn(text, peer));
}

/**
 * The text with other values of these keys of the peer at `index`.
 * @throws Failure `config` where other lines refer to what would change
 */
export function changePeer(text: string, index: number, fields: PeerEntry): string {
  const changed = documentOf(text);
  const peer = changed.getIn(['peers', index]);
  if (!isMap(peer) || peer.anchor !== undefined) throw referredTo();
  for (const [key, value] of Object.entries(fields)) {
    const node = peer.get(key, true);
    // One that is changed in place keeps its comment; with an anchor it would change for whoever refers to it.
    if (isScalar(node) && node.anchor === undefined) node.value = value;
    else peer.set(key, changed.createNode(value));
  }
  return keepLayout(text, changed, spliceFields(text, index, fields));
}

/** The text without the peer at `index`, and without the comment lines right above it. */
export function deletePeer(text: string, index: number): string {
  const changed = documentOf(text);
  changed.deleteIn(['peers', index]);
  return keepLayout(text, changed, spliceOut(text, index));
}

/** @throws Failure `config` where `peers` only names a list that stands elsewhere, for other lines as well */
function documentOf(text: string): Document.Parsed {
  const document = parseDocument(text);
  if (!isAlias(document.get('peers'))) return document;
  throw new Failure('config', 'peers is a YAML alias (*name) of a list that stands elsewhere in the file', {
    hint: 'Edit the file by hand.',
  });
}

/**
 * A cut in the text leaves every other byte alone, which printing the document anew does not (aligned comments move). It
 * is taken only if it reads back as exactly the change that was meant; unusual layouts get the printed document.
 */
function keepLayout(text: string, changed: Document.Parsed, spliced: string | undefined): string {
  const wanted = peersApart(changed);
  if (spliced !== undefined) {
    const reread = parseDocument(spliced);
    if (reread.errors.length === 0 && isDeepStrictEqual(peersApart(reread), wanted)) return spliced;
  }
  return changed.toString({ lineWidth: 0, ...(text.includes('\r\n') ? { newline: '\r\n' } : {}) });
}

/** What a document says, where no list of peers and an empty one are the same. */
function peersApart(document: Document.Parsed): unknown {
  try {
    const { peers, ...rest } = document.toJS() as Record<string, unknown>;
    return [peers ?? [], rest];
  } catch (cause) {
    throw referredTo(cause);
  }
}

function referredTo(cause?: unknown): Failure {
  const message = 'this peer holds a YAML anchor (&name) that other lines refer to, or is itself an alias (*name)';
  return new Failure('config', message, { cause, hint: 'Edit the file by hand.' });
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
