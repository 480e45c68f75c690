import { mkdtemp, rmdir, statfs } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join, relative, resolve, sep } from 'node:path';
import type { Config } from '../../mesh/config/config.js';
import { writeNewFile } from '../../mesh/files/write-new-file.js';
import { Failure } from '../../mesh/terms/failure.js';

export interface WrittenPage {
  readonly path: string;
  /** What was made for it: the page, or the folder around it. */
  readonly made: string;
  readonly inMemory: boolean;
}

/**
 * Writes the printable page, which holds the recovery key, for its user only.
 *
 * Unless a path is given it goes where it is gone after a restart and never reaches a disk, if there is such a place: the
 * user's own folder in memory, or /dev/shm. The current folder would be wrong: `init` runs beside what is backed up.
 * @param wanted absolute, and not refused by {@link refuseBackedUp}; undefined for the place in memory
 * @throws Failure `usage` when a file is there already
 */
export async function writePage(
  html: string,
  wanted: string | undefined,
  { server }: Pick<Config, 'server'>,
  env: NodeJS.ProcessEnv,
): Promise<WrittenPage> {
  if (wanted !== undefined) {
    await writeSecret(wanted, html);
    return { path: wanted, made: wanted, inMemory: false };
  }
  const name = `anemone-kit-${server.name}`;
  for (const place of [env['XDG_RUNTIME_DIR'], '/dev/shm', tmpdir()]) {
    if (!place) continue;
    const inMemory = await isInMemory(place);
    // Only where nothing is in memory does it go to a disk, and not to a folder that was to be another.
    if (!inMemory && place !== tmpdir()) continue;
    const folder = await mkdtemp(join(place, `${name}-`)).catch(() => null);
    if (folder === null) continue;
    const path = join(folder, `${name}.html`);
    try {
      await writeSecret(path, html);
    } catch (thrown) {
      await rmdir(folder);
      throw thrown;
    }
    return { path, made: folder, inMemory };
  }
  throw new Failure('failed', 'there is no place for the printable page', { hint: 'Name one with --page FILE.' });
}

/** @throws Failure `usage` when the path is in a folder that is backed up or kept: the page would go along */
export function refuseBackedUp(path: string, { base, file, server, backup }: Config): void {
  const sources = backup.sets.flatMap(({ source }) => (source.kind === 'paths' ? source.paths : []));
  const folders = [...sources.map((written) => resolve(base, written)), dirname(file), server.data];
  const inside = folders.find((folder) => relative(folder, path).split(sep)[0] !== '..');
  if (inside === undefined) return;
  throw new Failure('usage', `--page ${path} is in ${inside}, which is backed up or kept here`, {
    hint: 'The page holds the recovery key: write it elsewhere, print it, and delete it.',
  });
}

async function writeSecret(path: string, text: string): Promise<void> {
  try {
    await writeNewFile(path, text, 0o600);
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === 'EEXIST') {
      throw new Failure('usage', `${basename(path)} is there already, in ${dirname(path)}`, {
        cause: thrown,
        hint: 'Name another file with --page.',
      });
    }
    throw Failure.from(thrown, 'the printable page cannot be written');
  }
}

/** Whether a folder is of a file system that is gone after a restart: tmpfs, or ramfs. */
async function isInMemory(folder: string): Promise<boolean> {
  const { type } = await statfs(folder).catch(() => ({ type: null }));
  return type === 0x01021994 || type === 0x858458f6;
}
