import { constants } from 'node:fs';
import { access, type FileHandle, mkdir, open } from 'node:fs/promises';
import { Failure } from '../../../mesh/terms/failure.js';

const openFlags = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW;

/**
 * The path of a name inside an open folder (Linux, proc(5)): whatever happens to the folders above it meanwhile, it can
 * be nowhere else. `name` must be one component.
 */
export function inside(folder: FileHandle, name: string): string {
  return `/proc/self/fd/${folder.fd}/${name}`;
}

/** @throws Failure `failed` where names {@link inside} an open folder lead nowhere, as in a chroot of a rescue system */
export async function checkInside(): Promise<void> {
  try {
    await access('/proc/self/fd');
  } catch (cause) {
    throw new Failure(
      'failed',
      'nothing can be restored here: there is no /proc, through which files are unpacked safely',
      {
        cause,
        hint: 'Mount it, with `mount -t proc proc /proc`, and give the same command again.',
      },
    );
  }
}

/** The folder a member lies in, and those above it, held open; the next member mostly lies in the same one. */
export interface FolderChain {
  /** Opens a folder below the root, and makes what is missing on the way (0700); no link is ever followed. */
  enter(parts: readonly string[]): Promise<FileHandle>;
  close(): Promise<void>;
}

export async function openChain(path: string): Promise<FolderChain> {
  const root = await open(path, openFlags);
  const held: { readonly name: string; readonly folder: FileHandle }[] = [];

  async function leaveDownTo(depth: number): Promise<void> {
    for (const { folder } of held.splice(depth).reverse()) await folder.close();
  }

  return {
    async enter(parts) {
      const differs = held.findIndex(({ name }, index) => name !== parts[index]);
      if (differs !== -1) await leaveDownTo(differs);
      for (const name of parts.slice(held.length)) {
        const parent = held.at(-1)?.folder ?? root;
        await mkdir(inside(parent, name), 0o700).catch(unlessExisting);
        held.push({ name, folder: await open(inside(parent, name), openFlags) });
      }
      return held.at(-1)?.folder ?? root;
    },
    async close() {
      await leaveDownTo(0);
      await root.close();
    },
  };
}

function unlessExisting(error: NodeJS.ErrnoException): void {
  if (error.code !== 'EEXIST') throw error;
}
