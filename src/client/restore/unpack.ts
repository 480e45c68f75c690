import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { type FileHandle, lchown, link, lutimes, mkdir, open, symlink } from 'node:fs/promises';
import type { Bytes } from '../../mesh/terms/bytes.js';
import { printable } from '../../mesh/terms/clean-text.js';
import { Failure } from '../../mesh/terms/failure.js';
import type { PathMatcher } from '../../mesh/terms/path-pattern.js';
import { readArchive } from './archive-reader.js';
import { type FolderChain, inside, openChain } from './folder-chain.js';
import { type Member, type MemberKind, parseMember, refused } from './member.js';
import { openRegister } from './register.js';
import { removeTree } from './staging.js';

/** What an archive may be at most. The defaults leave room for anything but a trap. */
export interface UnpackLimits {
  /** Bytes of all files together; 1 TiB unless given. */
  readonly bytes: number;
  /** Members; 2,000,000 unless given. */
  readonly entries: number;
  /** Components of a path; 256 unless given. So many folders may be open at once. */
  readonly depth: number;
  /** Unpacked bytes for one compressed byte, beyond the first GiB; 500 unless given. */
  readonly ratio: number;
}

export interface UnpackOptions {
  readonly limits?: Partial<UnpackLimits>;
  /** Also restore owners and groups (by number), setuid, setgid and sticky bits. Needs root for foreign owners. */
  readonly ownership?: boolean;
  /** Accept control characters in names: only for archives whose manifest proves that the owner made them. */
  readonly controlCharacters?: boolean;
  /** Which members to unpack, and with them the folders above; all of them unless given. */
  readonly selects?: PathMatcher;
  readonly signal?: AbortSignal;
}

/** One member as it lies in the staging folder. */
export interface UnpackedEntry {
  readonly path: string;
  readonly kind: MemberKind;
  readonly size: number;
  /** As it was set: without setuid, setgid and sticky unless owners were restored too. */
  readonly mode: number;
  readonly mtime: Date;
  /** Lower-case hexadecimal; of files only. */
  readonly sha256?: string;
  /** What a symlink says, or the path that a hard link joins; otherwise empty. */
  readonly target: string;
}

export interface UnpackSummary {
  /** In the order of the archive. */
  readonly entries: readonly UnpackedEntry[];
  /** The files that were not selected. */
  readonly leftOut: readonly Pick<UnpackedEntry, 'path' | 'kind'>[];
  /** Bytes of the files that were selected. */
  readonly bytes: number;
}

const defaults: UnpackLimits = { bytes: 2 ** 40, entries: 2_000_000, depth: 256, ratio: 500 };
const createFlags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
/** Folders that the archive only implies get this mode. */
const impliedMode = 0o755;

/**
 * Unpacks a tar or tar.gz into a new folder, and nowhere else, whatever the archive says: every name is made relative
 * to an open folder, exclusively, and no symlink exists before the last file is written. Files and folders are durable
 * when it resolves; when it throws, the folder is gone.
 * @param staging absolute path of a folder that does not exist; its parent does
 * @throws Failure `invalid` (naming the member) for what is refused, `damaged` for what is no whole archive, `no-space`,
 *   `interrupted`; errors of the stream as they are
 */
export async function unpack(archive: Bytes, staging: string, options: UnpackOptions = {}): Promise<UnpackSummary> {
  try {
    await mkdir(staging, { mode: 0o700 });
  } catch (error) {
    throw Failure.from(error, `the staging folder ${staging} cannot be made`);
  }
  let chain: FolderChain | null = null;
  try {
    chain = await openChain(staging);
    return await unpackInto(chain, archive, options);
  } catch (error) {
    await chain?.close();
    chain = null;
    await removeTree(staging);
    throw Failure.from(error, `cannot unpack into ${staging}`);
  } finally {
    await chain?.close();
  }
}

async function unpackInto(chain: FolderChain, archive: Bytes, options: UnpackOptions): Promise<UnpackSummary> {
  const limits = { ...defaults, ...options.limits };
  const rules = { depth: limits.depth, controlCharacters: options.controlCharacters ?? false };
  const ownership = options.ownership ?? false;
  const register = openRegister();
  const members: Member[] = [];
  const entries: UnpackedEntry[] = [];
  const selects = options.selects ?? (() => true);
  const leftOut: Pick<Member, 'path' | 'kind'>[] = [];
  /** Folders that were not selected; what lies in them may be. */
  const passed: Member[] = [];
  /** Bytes of the whole archive, whatever is selected: a trap is measured by them. */
  let all = 0;
  for await (const { header, body } of readArchive(archive, limits.ratio, options.signal)) {
    options.signal?.throwIfAborted();
    const parsed = parseMember(header, rules);
    if (parsed === null) continue;
    const member = ownership ? parsed : { ...parsed, mode: parsed.mode & 0o777 };
    all += member.size;
    if (all > limits.bytes) throw tooMuch(member, `the archive holds more than ${limits.bytes} bytes`, '--max-size');
    if (members.length >= limits.entries)
      throw tooMuch(member, `there are more than ${limits.entries} members`, '--max-files');
    register.add(member);
    if (!selects(member.path, member.kind === 'folder')) {
      if (member.kind === 'folder') passed.push(member);
      else leftOut.push({ path: member.path, kind: member.kind });
      continue;
    }
    members.push(member);
    entries.push(entryOf(member, await write(chain, member, body, ownership)));
  }
  // Only now, when nothing is opened by name any more but folders, which never follow a link.
  for (const member of members) if (member.kind === 'symlink') await writeSymlink(chain, member, ownership);
  const above = foldersAbove(members);
  const around = passed.filter(({ path }) => above.has(path));
  const implied = register.implied().filter((path) => above.has(path));
  await finishFolders(chain, [...members, ...around], implied, ownership);
  const bytes = members.reduce((sum, { size }) => sum + size, 0);
  return { entries: [...around.map((member) => entryOf(member, null)), ...entries], leftOut, bytes };
}

function tooMuch({ path }: Member, why: string, flag: string): Failure {
  return refused(path, why, `Nothing was written. If the archive may be as large as that, allow more with ${flag}.`);
}

function foldersAbove(members: readonly Member[]): Set<string> {
  const above = new Set<string>();
  for (const { path } of members) {
    for (let at = path.lastIndexOf('/'); at > 0; at = path.lastIndexOf('/', at - 1)) above.add(path.slice(0, at));
  }
  return above;
}

function entryOf(member: Member, sha256: string | null): UnpackedEntry {
  const { path, kind, size, mode, mtime, target } = member;
  return { path, kind, size, mode, mtime, target, ...(sha256 === null ? {} : { sha256 }) };
}

/** Writes one member; symlinks are left for later. @returns the digest of a file */
async function write(chain: FolderChain, member: Member, body: Bytes, ownership: boolean): Promise<string | null> {
  try {
    if (member.kind === 'folder') await chain.enter(member.parts);
    if (member.kind === 'hard-link') await writeHardLink(chain, member);
    return member.kind === 'file' ? await writeFile(await parentOf(chain, member), member, body, ownership) : null;
  } catch (error) {
    throw explained(error, member);
  }
}

async function writeFile(folder: FileHandle, member: Member, body: Bytes, ownership: boolean): Promise<string> {
  const file = await open(inside(folder, nameOf(member)), createFlags, 0o600);
  try {
    const hash = createHash('sha256');
    for await (const chunk of body) {
      hash.update(chunk);
      await file.writeFile(chunk);
    }
    await finish(file, member, ownership);
    return hash.digest('hex');
  } finally {
    await file.close();
  }
}

async function writeHardLink(chain: FolderChain, member: Member): Promise<void> {
  const target = member.target.split('/');
  // The chain holds one folder at a time: this handle stays open while the chain moves to the other one.
  const from = await open(
    inside(await chain.enter(target.slice(0, -1)), '.'),
    constants.O_RDONLY | constants.O_DIRECTORY,
  );
  try {
    await link(inside(from, target.at(-1) ?? ''), inside(await parentOf(chain, member), nameOf(member)));
  } finally {
    await from.close();
  }
}

async function writeSymlink(chain: FolderChain, member: Member, ownership: boolean): Promise<void> {
  try {
    const path = inside(await parentOf(chain, member), nameOf(member));
    await symlink(member.target, path);
    if (ownership) await lchown(path, member.uid, member.gid);
    await lutimes(path, member.mtime, member.mtime);
  } catch (error) {
    throw explained(error, member);
  }
}

/** Modes and times of folders come last, the deepest first: a folder may forbid what was still to be written into it. */
async function finishFolders(
  chain: FolderChain,
  members: readonly Member[],
  impliedPaths: readonly string[],
  ownership: boolean,
): Promise<void> {
  const implied = impliedPaths.map((path) => ({ parts: path.split('/'), member: null }));
  const listed = members.filter(({ kind }) => kind === 'folder').map((member) => ({ parts: member.parts, member }));
  const deepestFirst = [...implied, ...listed].sort((a, b) => b.parts.length - a.parts.length);
  for (const { parts, member } of deepestFirst) {
    const folder = await chain.enter(parts);
    if (member === null) await folder.chmod(impliedMode);
    else await finish(folder, member, ownership);
  }
}

async function finish(handle: FileHandle, member: Member, ownership: boolean): Promise<void> {
  // First the owner: changing it clears setuid and setgid.
  if (ownership) await handle.chown(member.uid, member.gid);
  await handle.chmod(member.mode);
  await handle.utimes(member.mtime, member.mtime);
  await handle.sync();
}

function parentOf(chain: FolderChain, member: Member): Promise<FileHandle> {
  return chain.enter(member.parts.slice(0, -1));
}

function nameOf(member: Member): string {
  return member.parts.at(-1) ?? '';
}

/** The register refuses what collides; what the disk still refuses has to do with the disk, such as ignoring case. */
function explained(error: unknown, member: Member): unknown {
  const code = (error as NodeJS.ErrnoException).code;
  if (code === 'EEXIST') return refused(member.path, 'this disk does not tell its name from the one of another member');
  if (code === 'ENOENT' && member.kind === 'hard-link') {
    const message = `"${printable(member.path)}" is the same file as "${printable(member.target)}", which was not selected`;
    return new Failure('usage', message, { cause: error, hint: 'Include both, or neither.' });
  }
  if (code === 'EPERM' || code === 'EACCES') {
    return new Failure('failed', `cannot write ${JSON.stringify(member.path)}: no permission (${code})`, {
      cause: error,
      hint: 'Restoring owners, and files of other users, needs root.',
    });
  }
  return error;
}
