import type { Context } from '../../session/context.js';
import type { BroughtBack } from './brought-back.js';
import { type Again, secondCommand } from './second-command.js';

/** What a restore did not do, and the command that does. */
export interface Remaining {
  readonly words: string;
  /** Whether the restore is done only in part without it. */
  readonly matters: boolean;
}

export interface Circumstances {
  readonly again: Again;
  /** Nothing was, or will be, put into place. */
  readonly isTrial: boolean;
  /** The files were wanted in this folder, and the server is not to be there. */
  readonly isLook: boolean;
}

type Outcome = Pick<BroughtBack, 'elsewhere' | 'absent' | 'unplaceable'>;

/** @returns null where nothing is left to do */
export async function remainingAfter(
  context: Pick<Context, 'env'>,
  { elsewhere, absent, unplaceable }: Outcome,
  { again, isTrial, isLook }: Circumstances,
): Promise<Remaining | null> {
  const words: string[] = [];
  if (elsewhere.length > 0) {
    const names = elsewhere.map(({ belongs }) => belongs.slice(1));
    words.push(
      'The configuration has these outside its folder, and a restore into that does not bring them where they belong:',
      ...elsewhere.map(({ path, belongs }) => `  ${belongs}  ${isTrial ? 'would lie' : 'lies'} in ${path}`),
      'A second command puts them there:',
      `  ${await secondCommand(context, again, '/', names)}`,
    );
  }
  if (unplaceable.length > 0) {
    const names = unplaceable.map(({ path }) => path);
    words.push(
      isTrial ? 'This could not be restored here:' : 'This was not restored:',
      ...unplaceable.map(({ path, why }) => `  ${path}: ${why.message}`),
      'A second command brings it into a folder that you name (DIR):',
      `  ${await secondCommand(context, again, 'DIR', names)}`,
    );
  }
  if (absent.length > 0) {
    const names = absent.map(({ name }) => name);
    words.push(
      'The configuration names this, and the backup does not have it:',
      ...absent.map(({ written }) => `  ${written}`),
      'It was made in part, or before that was named. Another one (BACKUP) may have it, and brings it into a folder DIR:',
      `  ${await secondCommand(context, other(again), 'DIR', names)}`,
    );
  }
  if (words.length === 0) return null;
  return { words: words.join('\n'), matters: !isTrial && (unplaceable.length > 0 || !isLook) };
}

/** Another backup, which the person chooses. */
function other(again: Again): Again {
  const { from, ...options } = again.options;
  return { ...again, label: 'BACKUP', options: from === undefined ? options : { ...options, from: 'BACKUP' } };
}
