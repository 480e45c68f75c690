import { mkdir } from 'node:fs/promises';
import type { Bytes } from '../../../mesh/terms/bytes.js';
import { Failure } from '../../../mesh/terms/failure.js';
import type { PathMatcher } from '../../../mesh/terms/path-pattern.js';
import { readArchive } from './archive-reader.js';
import { type FolderChain, openChain } from './folder-chain.js';
import { withFoldersAbove } from './folders-above.js';
import { type Member, type MemberKind, parseMember, refused } from './member.js';
import { openRegister } from './register.js';
import { removeTree } from './staging.js';
import { finishFolders, writeMember, writeSymlink } from './write-member.js';

/** What an archive may be at most. The defaults leave room for anything but a trap. */
export interface UnpackLimits {
  /** Bytes of all files together; 1 TiB unless given. */
  readonly bytes: number;
  /** Members; 2,000,000 unless given. */
  readonly entries: number;
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
  /** As the archive has them, whether or not owners were restored; of its members only. */
  readonly uid?: number;
  readonly gid?: number;
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

const defaults: UnpackLimits = { bytes: 2 ** 40, entries: 2_000_000, ratio: 500 };

/**
 * Unpacks a tar or tar.gz into a new folder, and nowhere else, whatever the archive says: every name is made relative
 * to an open folder, exclusively, and no symlink exists before the last file is written. Files and folders are durable
 * when it resolves; when it throws, the folder is gone, where it can be removed.
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
    return await unpackInto(chain, archive, staging, options);
  } catch (error) {
    await chain?.close();
    chain = null;
    // Whoever unpacks looks after what cannot be removed.
    await removeTree(staging).catch(() => {});
    throw Failure.from(error, `cannot unpack into ${staging}`);
  } finally {
    await chain?.close();
  }
}

async function unpackInto(
  chain: FolderChain,
  archive: Bytes,
  staging: string,
  options: UnpackOptions,
): Promise<UnpackSummary> {
  const limits = { ...defaults, ...options.limits };
  const rules = { staging, controlCharacters: options.controlCharacters ?? false };
  const ownership = options.ownership ?? false;
  const register = openRegister();
  const members: Member[] = [];
  const entries: UnpackedEntry[] = [];
  const selects = options.selects ?? (() => true);
  const leftOut: Pick<Member, 'path' | 'kind'>[] = [];
  /** Folders that were not selected; what lies in them may be. */
  const passed: Member[] = [];
  /** Bytes and members of the whole archive, whatever is selected: a trap is measured by them. */
  let all = 0;
  let count = 0;
  for await (const { header, body } of readArchive(archive, limits.ratio, options.signal)) {
    options.signal?.throwIfAborted();
    const parsed = parseMember(header, rules);
    if (parsed === null) continue;
    const member = ownership ? parsed : { ...parsed, mode: parsed.mode & 0o777 };
    all += member.size;
    if (all > limits.bytes) throw tooMuch(member, `the archive holds more than ${limits.bytes} bytes`, '--max-size');
    count += 1;
    if (count > limits.entries) throw tooMuch(member, `there are more than ${limits.entries} members`, '--max-files');
    register.add(member);
    if (!selects(member.path, member.kind === 'folder')) {
      if (member.kind === 'folder') passed.push(member);
      else leftOut.push({ path: member.path, kind: member.kind });
      continue;
    }
    members.push(member);
    entries.push(entryOf(member, await writeMember(chain, member, body, ownership)));
  }
  // Only now, when nothing is opened by name any more but folders, which never follow a link.
  for (const member of members) if (member.kind === 'symlink') await writeSymlink(chain, member, ownership);
  const above = withFoldersAbove(members.map(({ path }) => path));
  const around = passed.filter(({ path }) => above.has(path));
  const implied = register.implied().filter((path) => above.has(path));
  await finishFolders(chain, [...members, ...around], implied, ownership);
  const bytes = members.reduce((sum, { size }) => sum + size, 0);
  return { entries: [...around.map((member) => entryOf(member, null)), ...entries], leftOut, bytes };
}

function tooMuch({ path }: Member, why: string, flag: string): Failure {
  return refused(path, why, `Nothing was written. If the archive may be as large as that, allow more with ${flag}.`);
}

function entryOf(member: Member, sha256: string | null): UnpackedEntry {
  const { path, kind, size, mode, mtime, uid, gid, target } = member;
  return { path, kind, size, mode, mtime, uid, gid, target, ...(sha256 === null ? {} : { sha256 }) };
}
