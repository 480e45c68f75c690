import * as v from 'valibot';
import { readDocument } from '../config/document.js';
import { keyText } from '../config/problem.js';
import { address, count, hostname, identity, recipient, text } from '../config/values.js';
import { armorBegin, armorEnd } from '../envelope/age-magic.js';
import { printable, redactSecrets } from '../terms/clean-text.js';
import { Failure } from '../terms/failure.js';
import { type KitVpn, kitBegin, kitEnd, kitVersion, largestKit, mostVpnFiles } from './kit.js';
import type { SignedKit } from './signed-kit.js';

/** More than any real mesh has. */
const mostPeers = 1000;

const base64 = v.pipe(
  text('base64'),
  v.transform((written) => Buffer.from(written.replace(/\s+/g, ''), 'base64')),
);

const kitSchema = v.strictObject({
  kit: count,
  server: hostname,
  identity,
  address,
  recipients: v.array(recipient),
  peers: v.pipe(v.array(v.strictObject({ name: hostname, address, identity })), v.maxLength(mostPeers)),
  vpn: v.pipe(
    v.array(v.strictObject({ path: text('a path'), size: count, content: v.optional(v.string()) })),
    v.maxLength(mostVpnFiles),
  ),
  certificate: base64,
  signature: base64,
});

/**
 * Reads a kit, strictly: what this program would not write, it does not read. Line ends and white space at their ends may
 * be those of any mail program, and so may what it puts before the lines of a quoted one.
 * @param label as messages name the kit: its path
 * @throws Failure `damaged`, with the line and the key
 */
export function parseKit(bytes: Uint8Array, label: string): SignedKit {
  if (bytes.length > largestKit) throw damaged(label, `it has more than ${largestKit} bytes: this is another file`);
  const lines = unquoted(
    Buffer.from(bytes)
      .toString('utf8')
      .split('\n')
      .map((line) => line.replace(/\r$/, '')),
  );
  const { from, to } = between(lines, kitBegin, kitEnd, label);
  const block = lines.slice(from, to).join('\n');
  const document = readDocument(block);
  const at = (line: number, key: string, message: string): Failure =>
    damaged(label, `line ${from + line}: ${printable(redactSecrets(key === '' ? message : `${key} ${message}`), 300)}`);
  const [problem] = document.problems;
  if (problem !== undefined) throw at(problem.line, problem.key, problem.message);
  refuseOtherVersion(document.value, label);
  const read = v.safeParse(kitSchema, document.value);
  if (!read.success) {
    const [issue] = read.issues;
    const path = (issue.path ?? []).map(({ key }) => key as string | number);
    throw at(document.lineOf(path), keyText(path), messageOf(issue));
  }
  const { certificate, signature, vpn, kit: _version, ...facts } = read.output;
  return { kit: { ...facts, vpn: vpnOf(vpn, lines, label) }, certificate, signature };
}

/** What a mail program put before each line of a kit that it quoted stands before its first marker too. */
function unquoted(lines: readonly string[]): readonly string[] {
  const marker = lines.find((line) => line.trimEnd().endsWith(kitBegin)) ?? '';
  const quote = marker.slice(0, marker.indexOf(kitBegin));
  if (!/^[> ]+$/.test(quote)) return lines;
  // Of an empty line the space at its end may be gone.
  return lines.map((line) =>
    line.startsWith(quote) ? line.slice(quote.length) : line === quote.trimEnd() ? '' : line,
  );
}

function refuseOtherVersion(value: unknown, label: string): void {
  const version = (value as { kit?: unknown } | null)?.kit;
  if (version === kitVersion) return;
  if (typeof version === 'number' && version > kitVersion) {
    throw new Failure('damaged', `${label} was made by a newer anemone-peer: it is a kit of version ${version}`, {
      hint: 'Install the newest anemone-peer. Or do without the kit: restore --server HOST --peer ADDRESS',
    });
  }
  throw damaged(label, 'it does not say which version of a kit it is');
}

type FileEntry = { readonly path: string; readonly size: number; readonly content?: string | undefined };

function vpnOf(entries: readonly FileEntry[], lines: readonly string[], label: string): KitVpn {
  const open = entries.flatMap(({ path, size, content }) => (content === undefined ? [] : [{ path, size, content }]));
  if (entries.length === 0 || open.length === entries.length) {
    for (const { path, size, content } of open) {
      if (Buffer.byteLength(content) !== size)
        throw damaged(label, `${printable(path)} has not the size it should have`);
    }
    return { kind: 'open', files: open };
  }
  if (open.length > 0) throw damaged(label, 'some of its VPN configuration is sealed, and some is not');
  const { from, to } = between(lines, armorBegin, armorEnd, label);
  const armor = lines.slice(from - 1, to + 1).map((line) => line.trim());
  return { kind: 'sealed', files: entries.map(({ path, size }) => ({ path, size })), armor: `${armor.join('\n')}\n` };
}

/** The lines after the one that begins a part, and before the one that ends it; each stands there exactly once. */
function between(all: readonly string[], begin: string, end: string, label: string): { from: number; to: number } {
  const lines = all.map((line) => line.trimEnd());
  const from = lines.indexOf(begin);
  const to = lines.indexOf(end);
  if (from === -1) throw damaged(label, `it has no line ${begin}: this is no kit, or not all of it`);
  if (to === -1) throw damaged(label, `it has no line ${end}: its end is missing`);
  const twice = lines.lastIndexOf(begin) !== from || lines.lastIndexOf(end) !== to;
  if (twice || to < from) throw damaged(label, `the lines ${begin} and ${end} must stand there once, in this order`);
  return { from: from + 1, to };
}

function messageOf(issue: v.BaseIssue<unknown>): string {
  if (issue.type === 'strict_object') {
    return issue.expected === 'never' ? 'is no key of a kit' : 'is missing';
  }
  if (issue.type === 'array') return 'is not a list';
  if (issue.type === 'max_length') return 'is longer than any real one';
  return issue.message;
}

function damaged(label: string, what: string): Failure {
  return new Failure('damaged', `${label} cannot be used as a kit: ${what}`, {
    hint: 'Take another copy of the kit, or do without: restore --server HOST --peer ADDRESS',
  });
}
