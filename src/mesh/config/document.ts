import {
  type Document,
  isAlias,
  isMap,
  isNode,
  isPair,
  isScalar,
  isSeq,
  LineCounter,
  parseDocument,
  visit,
  type YAMLError,
} from 'yaml';
import { Failure } from '../terms/failure.js';
import { keyText, type Place, type Problem } from './problem.js';
import { quote } from './values.js';

/** A configuration of 50 peers has about 10 KB; more than this is another file, or an attack. */
export const largestConfig = 1_048_576;
const deepestNesting = 64;
const mostAliases = 100;

export interface ConfigDocument {
  /** The line of a key or item, or of the nearest one above it that exists; counted from 1. */
  lineOf(path: Place): number;
  readonly problems: readonly Problem[];
  /** What the document holds; undefined when its problems leave that open. */
  readonly value: unknown;
}

/** Text of a configuration file as YAML. Duplicate keys leave the rest readable; other errors of syntax do not. */
export function readDocument(text: string): ConfigDocument {
  const deep = tooDeep(text);
  const lines = new LineCounter();
  const document = parseDocument(deep === undefined ? text : '', {
    lineCounter: lines,
    prettyErrors: false,
    stringKeys: true,
    logLevel: 'error',
  });
  const lineAt = (offset: number): number => Math.max(1, lines.linePos(offset).line);
  const errors = [...document.errors, ...document.warnings];
  const problems = errors.map((error) => syntaxProblem(error, text, lineAt(error.pos[0])));
  if (deep !== undefined) problems.push({ line: deep, key: '', message: 'is nested too deeply for a configuration' });
  const readable = deep === undefined && errors.every(({ code }) => code === 'DUPLICATE_KEY');
  const bad = readable && text.trim() !== '' ? badNodes(document, lineAt) : [];
  return {
    lineOf: (path) => lineAt(offsetOf(document, path)),
    problems: readable ? [...problems, ...bad] : firstOfEachLine(problems),
    value: readable && bad.length === 0 ? document.toJS({ maxAliasCount: mostAliases }) : undefined,
  };
}

/** One slip in YAML is often reported several times over. */
function firstOfEachLine(problems: readonly Problem[]): Problem[] {
  return problems.filter(({ line }, index) => problems.findIndex((other) => other.line === line) === index).slice(0, 5);
}

/**
 * The first line whose nesting no configuration needs. It is looked for before parsing: brackets by the ten thousand
 * exhaust the stack inside the parser, which no `catch` survives.
 */
function tooDeep(text: string): number | undefined {
  let open = 0;
  for (const [index, line] of text.split('\n').entries()) {
    for (const character of line) {
      if (character === '[' || character === '{') open += 1;
      else if (character === ']' || character === '}') open = Math.max(0, open - 1);
    }
    const lead = line.length - line.replace(/^[-?:\s]+/, '').length;
    if (open > deepestNesting || lead > 2 * deepestNesting) return index + 1;
  }
  return undefined;
}

function syntaxProblem(error: YAMLError, text: string, line: number): Problem {
  const at = text.slice(error.pos[0]);
  const key = error.code === 'DUPLICATE_KEY' ? (/^[^\s:]+/.exec(at)?.[0] ?? '') : '';
  return { line, key, message: syntaxMessage(error) };
}

function syntaxMessage({ code, message }: YAMLError): string {
  switch (code) {
    case 'DUPLICATE_KEY':
      return 'stands here a second time. Remove one of the two';
    case 'TAB_AS_INDENT':
      return 'begins with a tab. YAML indents with spaces: replace it';
    case 'MULTIPLE_DOCS':
      return 'a second document begins here (---). A configuration is one document';
    case 'TAG_RESOLVE_FAILED':
      return 'tags (!…) have no meaning in a configuration. Remove it, or put the value in quotes';
    case 'BLOCK_AS_IMPLICIT_KEY':
    case 'MULTILINE_IMPLICIT_KEY':
      return 'is not YAML: wrong indentation, a missing colon, or a value with ": " in it that needs quotes';
    case 'BAD_SCALAR_START':
    case 'UNEXPECTED_TOKEN':
      return `is not YAML: ${message}. A value that begins with [ { * & ! % @ or a backtick needs quotes`;
    default:
      return `is not YAML: ${message}`;
  }
}

/** Keys with a meaning of their own in JavaScript, and aliases to nothing or to more than a configuration needs. */
function badNodes(document: Document.Parsed, lineAt: (offset: number) => number): Problem[] {
  const problems: Problem[] = [];
  visit(document, {
    Pair(_, { key }) {
      if (isScalar(key) && ['__proto__', 'constructor', 'prototype'].includes(String(key.value))) {
        problems.push({ line: lineAt(key.range?.[0] ?? 0), key: String(key.value), message: 'cannot be a key' });
      }
    },
    Alias(_, alias) {
      if (alias.resolve(document) !== undefined) return;
      const message = `*${alias.source} refers to nothing. A value that begins with * needs quotes`;
      problems.push({ line: lineAt(alias.range?.[0] ?? 0), key: '', message });
    },
  });
  try {
    if (problems.length === 0) document.toJS({ maxAliasCount: mostAliases });
  } catch {
    problems.push({ line: 1, key: '', message: 'uses too many YAML aliases (*name). Write the values out' });
  }
  return problems;
}

function offsetOf(document: Document.Parsed, path: Place): number {
  let node: unknown = document.contents;
  let offset = isNode(node) ? (node.range?.[0] ?? 0) : 0;
  for (const key of path) {
    if (isAlias(node)) node = node.resolve(document);
    const item = isMap(node)
      ? node.items.find((pair) => isScalar(pair.key) && pair.key.value === key)
      : isSeq(node) && typeof key === 'number'
        ? node.items[key]
        : undefined;
    const named = isPair(item) ? item.key : item;
    if (!isNode(named)) return offset;
    offset = named.range?.[0] ?? offset;
    node = isPair(item) ? item.value : item;
  }
  return offset;
}

/**
 * The text of a configuration file.
 * @throws Failure `config` when it is no UTF-8
 */
export function decodeConfig(file: string, bytes: Uint8Array): string {
  const text = decodeUtf8(bytes);
  if (text === undefined) {
    const parts = Buffer.from(bytes).toString('latin1').split('\n');
    const line = parts.findIndex((part) => decodeUtf8(Buffer.from(part, 'latin1')) === undefined);
    throw new Failure('config', `${file}:${line + 1}: is not UTF-8 text`, { hint: 'Save the file as UTF-8.' });
  }
  return text;
}

function decodeUtf8(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    return undefined;
  }
}

/** Whether the document is a mapping; if not, what to say about it. */
export function rootProblem(value: unknown): Problem | undefined {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return undefined;
  const message =
    value === null || value === undefined
      ? 'is empty. Of a server that has backups, bring it back: `anemone-peer restore latest --server NAME --peer ADDRESS ' +
        '--include config/config.yaml`. For a new server, remove it, and run `anemone-peer init`'
      : `holds ${quote(value)}. A configuration is a mapping that begins with \`server:\``;
  return { line: 1, key: keyText([]), message };
}
