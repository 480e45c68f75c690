import { basename, dirname, resolve } from 'node:path';
import { HeldBackup } from '../../mesh/generated/anemone/backup/v1/backup.js';
import { formatByteSize } from '../../mesh/terms/byte-size.js';
import { Failure } from '../../mesh/terms/failure.js';
import { shellWord } from '../../mesh/terms/shell-word.js';
import { withRoom } from '../restore/download/disk-space.js';
import { download } from '../restore/download/download.js';
import { needFolderOf } from '../server/output-folder.js';
import type { Context, ExitCode } from '../session/context.js';
import { openMesh } from '../survey/mesh.js';
import { openFetchedFile } from './fetched-file.js';
import { findOne } from './find-one.js';

export interface FetchOptions {
  readonly peer?: string;
  readonly output?: string;
  readonly force?: boolean;
}

/** Where the disk is full. */
const hint = 'Name a file on a disk with more room, with -o.';

/**
 * Downloads a backup as it is, still sealed, with its manifest beside it. The file has its name only once its bytes are
 * those of the manifest. What an attempt that was cut off left is used by the next one.
 * @throws Failure `usage` when it, or another manifest, is there already, or it is to go to standard output or
 *   into a folder that is not
 */
export async function fetchToFile(context: Context, reference: string, options: FetchOptions): Promise<ExitCode> {
  const { screen, clock, signal } = context;
  if (options.output === '-') {
    throw new Failure(
      'usage',
      'a backup is not written to standard output, which would pass it on before it is verified',
      {
        hint: 'Name a file with -o. To look into the backup, restore it into an empty folder with --target.',
      },
    );
  }
  if (options.output !== undefined) await needFolderOf(resolve(context.cwd, options.output));
  const mesh = await openMesh(context, options.peer);
  try {
    const { backup } = await findOne(context, mesh, reference);
    const { facts, digest, signed } = backup.manifest;
    const target = resolve(context.cwd, options.output ?? facts.name);
    const manifest = HeldBackup.encode({ manifest: signed, receipt: undefined }).finish();
    const { part, keep } = await openFetchedFile(target, { digest, manifest, force: options.force ?? false });
    const progress = screen.progress();
    try {
      const holders = backup.copies.map(({ holder }) => holder);
      const folder = dirname(target);
      const need = { label: facts.name, size: facts.size, part: part.path, work: folder, isWhole: false, hint };
      await withRoom(context, need, async () => {
        await download(backup.manifest, holders, part.file, {
          clock,
          folder,
          progress: (bytes) => progress.update(facts.name, bytes, facts.size),
          dropped: (_holder, why) => screen.warn(why.message),
          signal,
        });
        await keep();
      });
    } catch (thrown) {
      const failure = Failure.from(thrown, facts.name);
      if (failure.kind === 'damaged') await part.discard();
      const left = await part.leave();
      if (left > 0)
        screen.note(`${formatByteSize(left)} are kept beside ${target}; the same command goes on from there.`);
      throw failure;
    } finally {
      progress.end();
    }
    // Its bytes lead to the root that its owner signed. The SHA-256 is the word of the owner: nobody has computed it here.
    const document = { file: target, manifest: `${target}.manifest`, name: facts.name, size: facts.size };
    screen.result({ ...document, sha256: Buffer.from(facts.sha256).toString('hex'), verified: true }, () => target);
    // In the folder of this server, only its own comes back in place.
    const where = facts.owner === mesh.owner ? '' : ' --target DIR';
    const open = `anemone-peer restore --from ${shellWord(target)}${where}`;
    screen.note(
      `${basename(target)}: ${formatByteSize(facts.size)}, the bytes that ${facts.owner} signed; open them with \`${open}\`.`,
    );
    return 0;
  } finally {
    mesh.close();
  }
}
