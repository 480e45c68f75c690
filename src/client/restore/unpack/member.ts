import type { Header } from 'tar-stream';
import { printable } from '../../../mesh/terms/clean-text.js';
import { Failure } from '../../../mesh/terms/failure.js';

export type MemberKind = 'file' | 'folder' | 'symlink' | 'hard-link';

/** One member of an archive whose name and kind were found acceptable by themselves. */
export interface Member {
  /** Relative, without `.`, `..`, empty components or a slash at the end. */
  readonly path: string;
  readonly parts: readonly string[];
  readonly kind: MemberKind;
  /** Bytes of a file; 0 for everything else. */
  readonly size: number;
  /** The lowest twelve bits: permissions, setuid, setgid, sticky. */
  readonly mode: number;
  readonly mtime: Date;
  readonly uid: number;
  readonly gid: number;
  /** What a symlink says, untouched; the path of the member that a hard link joins; otherwise empty. */
  readonly target: string;
}

export interface MemberRules {
  /** Absolute: where members are unpacked. A path has to leave room for it in what Linux takes for one name. */
  readonly staging: string;
  /** Whether names may hold control characters; NUL never. */
  readonly controlCharacters: boolean;
}

/** Limits of Linux, in bytes: of one component, and of a path or what a symlink says (PATH_MAX without the NUL). */
const longestComponent = 255;
const longestPath = 4095;
/** Components of a path: so many folders may be open at once. */
const deepest = 256;
/** Seconds on either side of 1970 that a Date can say. */
const furthestTime = 8.64e12;

const kinds: Readonly<Record<string, MemberKind>> = {
  file: 'file',
  directory: 'folder',
  symlink: 'symlink',
  link: 'hard-link',
};

/**
 * Judges a tar header by itself, without regard to the disk or to other members.
 * @returns null for the folder that the archive was made from (`./`), which is no member
 * @throws Failure `invalid`, naming the member
 */
export function parseMember(header: Header, rules: MemberRules): Member | null {
  const { name } = header;
  // The types promise more than the parser does: it passes on unknown types as null, and records as they are.
  const type: string | null = header.type;
  const pax = (header.pax ?? {}) as Readonly<Record<string, string | undefined>>;
  const kind = kinds[type ?? ''];
  if (kind === undefined)
    throw refused(name, `it is a ${type ?? 'member of an unknown type'}, which is never restored`);
  if (Object.keys(pax).some((key) => key.startsWith('GNU.sparse.'))) throw refused(name, 'it is a sparse file');
  const parts = parsePath(name, name, rules);
  if (parts.length === 0) {
    if (kind === 'folder') return null;
    throw refused(name, 'its name is empty');
  }
  if (kind !== 'file' && header.size !== 0) throw refused(name, `a ${kind} has no content`);
  return {
    path: parts.join('/'),
    parts,
    kind,
    size: number(name, 'size', header.size, Number.MAX_SAFE_INTEGER),
    mode: number(name, 'mode', header.mode, Number.MAX_SAFE_INTEGER) & 0o7777,
    mtime: parseTime(name, pax['mtime'] === undefined ? header.mtime.getTime() / 1000 : Number(pax['mtime'])),
    uid: number(name, 'user', Number(pax['uid'] ?? header.uid), 2 ** 32 - 2),
    gid: number(name, 'group', Number(pax['gid'] ?? header.gid), 2 ** 32 - 2),
    target: parseTarget(name, kind, header.linkname ?? '', rules),
  };
}

const noSuchMember =
  'Nothing was written. An archive made by this program has no such member: find out where this one comes from.';

const shorter = 'Nothing was written. A --target whose own path is shorter leaves more room.';

const unproven =
  'Nothing was written. Put the manifest beside the file, as FILE.manifest. If it is lost, and you know where the file comes ' +
  'from, `age -d` and `tar` unpack it.';

/** A refusal that names the member, with what could write on a terminal made visible. */
export function refused(name: string, why: string, hint = noSuchMember): Failure {
  return new Failure('invalid', `the archive is refused because of its member "${printable(name, 300)}": ${why}`, {
    hint,
  });
}

function parsePath(path: string, name: string, rules: MemberRules): string[] {
  checkCharacters(path, name, rules);
  if (path.startsWith('/')) throw refused(name, 'a path in an archive cannot be absolute');
  const parts = path.split('/').filter((part) => part !== '' && part !== '.');
  if (parts.includes('..')) throw refused(name, 'its path has `..` in it');
  if (parts.length > deepest) throw refused(name, `it lies more than ${deepest} folders deep`);
  if (parts.some((part) => Buffer.byteLength(part) > longestComponent)) {
    throw refused(name, `its name is longer than ${longestComponent} bytes`);
  }
  const longest = longestPath - Buffer.byteLength(`${rules.staging}/`);
  // It could be made all the same, in an open folder, but neither be compared nor removed by name.
  if (Buffer.byteLength(parts.join('/')) > longest) {
    throw refused(
      name,
      `its path is longer than ${longest} bytes, so it would be out of reach in ${rules.staging}`,
      shorter,
    );
  }
  return parts;
}

function parseTarget(name: string, kind: MemberKind, target: string, rules: MemberRules): string {
  if (kind === 'hard-link') {
    const path = parsePath(target, name, rules).join('/');
    if (path === '') throw refused(name, 'it is a hard link to nothing');
    return path;
  }
  if (kind !== 'symlink') return '';
  checkCharacters(target, name, rules);
  if (target === '') throw refused(name, 'it is a symlink to nothing');
  if (Buffer.byteLength(target) > longestPath) throw refused(name, `it points to more than ${longestPath} bytes`);
  return target;
}

function checkCharacters(text: string, name: string, rules: MemberRules): void {
  if (text.includes('\0')) throw refused(name, 'there is a NUL in a name');
  if (rules.controlCharacters || !/\p{Cc}/u.test(text)) return;
  throw refused(
    name,
    'there is a control character in a name, and no manifest proves that its owner has such names',
    unproven,
  );
}

function number(name: string, what: string, value: number, largest: number): number {
  if (Number.isSafeInteger(value) && value >= 0 && value <= largest) return value;
  throw refused(name, `its ${what} is not a number that makes sense`);
}

function parseTime(name: string, seconds: number): Date {
  if (Number.isFinite(seconds) && Math.abs(seconds) <= furthestTime) return new Date(seconds * 1000);
  throw refused(name, 'its time is not a number that makes sense');
}
