import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { type FileHandle, lchown, link, lutimes, open, symlink } from 'node:fs/promises';
import type { Bytes } from '../../../mesh/terms/bytes.js';
import { printable } from '../../../mesh/terms/clean-text.js';
import { Failure } from '../../../mesh/terms/failure.js';
import { type FolderChain, inside } from './folder-chain.js';
import { type Member, refused } from './member.js';

const createFlags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
/** Folders that the archive only implies get this mode. */
const impliedMode = 0o755;

/** Writes one member; symlinks are left for later. @returns the digest of a file */
export async function writeMember(
  chain: FolderChain,
  member: Member,
  body: Bytes,
  ownership: boolean,
): Promise<string | null> {
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

/** Makes one of the symlinks that were left. */
export async function writeSymlink(chain: FolderChain, member: Member, ownership: boolean): Promise<void> {
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
export async function finishFolders(
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
