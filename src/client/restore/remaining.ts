import type { Context } from '../context.js';
import type { BroughtBack } from './bring-back.js';
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

/** @returns null where nothing is left to do */
export async function remainingAfter(
  context: Pick<Context, 'env'>,
  { elsewhere }: Pick<BroughtBack, 'elsewhere'>,
  { again, isTrial, isLook }: Circumstances,
): Promise<Remaining | null> {
  if (elsewhere.length === 0) return null;
  const names = elsewhere.map(({ belongs }) => belongs.slice(1));
  const lines = elsewhere.map(({ path, belongs }) => `  ${belongs}  ${isTrial ? 'would lie' : 'lies'} in ${path}`);
  const words = [
    'The configuration has these outside its folder, and a restore into that does not bring them where they belong:',
    ...lines,
    'A second command puts them there:',
    `  ${await secondCommand(context, again, '/', names)}`,
  ];
  return { words: words.join('\n'), matters: !isTrial && !isLook };
}
