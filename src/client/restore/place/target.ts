import { access, constants, mkdtemp, rmdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { holdFolder } from '../../../mesh/files/hold-folder.js';
import { makeFolders } from '../../../mesh/files/make-folders.js';
import { Failure } from '../../../mesh/terms/failure.js';
import { removeStaging, workFolder } from '../unpack/staging.js';

/** What one restore has for itself. */
export interface Target {
  /** Where the restore is downloaded and prepared. */
  readonly work: string;
  /** Lets others in; removes the folders that were made, as far as they are still empty. */
  close(): Promise<void>;
}

/**
 * Makes the target of a restore, where it is missing, and keeps other restores out of it: two would remove each other's
 * work.
 * @throws Failure `locked` while another restore is at work there; `forbidden` when this user may not write there
 */
export async function openTarget(target: string): Promise<Target> {
  const removeMade = await makeFolder(target);
  const unlocks: (() => Promise<void>)[] = [];
  const close = async (): Promise<void> => {
    for (const unlock of unlocks) await unlock();
    await removeMade();
  };
  try {
    const work = await workFolder(target);
    await checkWritable(work);
    for (const folder of new Set([target, work])) unlocks.push(await lock(folder));
    return { work, close };
  } catch (thrown) {
    await close();
    throw thrown;
  }
}

/** Whether a restore is at work in a folder, whoever runs it: also where this user may not look into it. */
export async function isHeld(folder: string): Promise<boolean> {
  const unlock = await lockIfFree(folder).catch(() => undefined);
  await unlock?.();
  return unlock === null;
}

/** Keeps other restores out of a folder. @returns what lets them in; null where one is at work there */
export async function lockIfFree(folder: string): Promise<(() => Promise<void>) | null> {
  try {
    return await lock(folder);
  } catch (thrown) {
    if (Failure.from(thrown).kind === 'locked') return null;
    throw thrown;
  }
}

/** A folder outside of any target, for a restore that is only looked at. It is removed with all that is in it. */
export async function openTrial(warn: (text: string) => void): Promise<Target> {
  const work = await mkdtemp(join(tmpdir(), 'anemone-dry-run-'));
  const close = async (): Promise<void> => {
    for (const warning of await removeStaging([work])) warn(warning);
  };
  return { work, close };
}

async function checkWritable(folder: string): Promise<void> {
  try {
    await access(folder, constants.W_OK | constants.X_OK);
  } catch (cause) {
    throw new Failure('forbidden', `this user may not restore into ${folder}: ${(cause as Error).message}`, {
      cause,
      hint: 'Run it as the user of that folder, or as root, or restore into another --target.',
    });
  }
}

async function makeFolder(target: string): Promise<() => Promise<void>> {
  let first: string | undefined;
  try {
    first = await makeFolders(target);
  } catch (thrown) {
    throw Failure.from(thrown, `the target ${target} cannot be made`);
  }
  return async () => {
    if (first === undefined) return;
    for (let folder = target; ; folder = dirname(folder)) {
      try {
        await rmdir(folder);
      } catch {
        return;
      }
      if (folder === first) return;
    }
  };
}

function lock(folder: string): Promise<() => Promise<void>> {
  return holdFolder(folder, 'anemone-peer restore', (cause) => {
    return new Failure('locked', `another restore into ${folder} is under way`, {
      cause,
      hint: 'Wait for its end, or restore into another --target.',
    });
  });
}
