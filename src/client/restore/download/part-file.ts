import { constants } from 'node:fs';
import { type FileHandle, open, rm, stat } from 'node:fs/promises';
import { Failure } from '../../../mesh/terms/failure.js';

/** A file on its way, under a temporary name. */
export interface PartFile {
  /** Open for reading and writing; may hold bytes of an earlier attempt. */
  readonly file: FileHandle;
  readonly path: string;
  /** Closes it, and leaves it to another attempt. @returns the bytes that stay; without any, nothing does */
  leave(): Promise<number>;
  /** Closes and removes it. */
  discard(): Promise<void>;
}

/** How a temporary name ends. The digest of the manifest is in it: bytes of another backup are never gone on with. */
export function partMark(digest: Uint8Array): string {
  return `${Buffer.from(digest).toString('hex').slice(0, 16)}.part`;
}

/** @throws Failure when it cannot be written */
export async function openPartFile(path: string): Promise<PartFile> {
  const file = await openPrivate(path);
  const close = (): Promise<void> => file.close().catch(() => undefined);
  const discard = async (): Promise<void> => {
    await close();
    await rm(path, { force: true });
  };
  return {
    file,
    path,
    async leave() {
      await close();
      // Ranges arrive in any order: what lies between them takes no room yet.
      const { size, blocks } = await stat(path).catch(() => ({ size: 0, blocks: 0 }));
      if (size === 0) await discard();
      return Math.min(size, blocks * 512);
    },
    discard,
  };
}

/** Opens a file for reading and writing that nobody but its user may read, and makes it where it is missing. */
export async function openPrivate(path: string): Promise<FileHandle> {
  try {
    return await open(path, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o600);
  } catch (thrown) {
    throw Failure.from(thrown, `${path} cannot be written`);
  }
}
