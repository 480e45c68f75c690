import { printable, redactSecrets } from '../terms/clean-text.js';
import { Failure } from '../terms/failure.js';

/** The keys and indices that lead to a value, from the whole file on. */
export type Place = readonly (string | number)[];

/** The line of a place in the file, counted from 1. */
export type LineOf = (place: Place) => number;

/** One thing that is wrong in a configuration file. */
export interface Problem {
  /** Counted from 1. */
  readonly line: number;
  /** Where it is, such as `peers[0].quota`; empty when it is about the file as a whole. */
  readonly key: string;
  /** What is wrong, and the fix. */
  readonly message: string;
}

const mostShown = 50;

/** All problems of a file as one Failure `config`: one line each, in the order of the file. */
export function configFailure(file: string, problems: readonly Problem[]): Failure {
  const ordered = problems.toSorted((a, b) => a.line - b.line);
  const lines = ordered.slice(0, mostShown).map((problem) => problemLine(file, problem));
  if (ordered.length > mostShown) lines.push(`${file}: and ${ordered.length - mostShown} more`);
  return new Failure('config', lines.join('\n'), {
    hint: 'Correct the file; `anemone-peer config validate` checks it.',
  });
}

/** `FILE:LINE: KEY: what is wrong. The fix` */
function problemLine(file: string, { line, key, message }: Problem): string {
  const text = `${key === '' ? '' : `${key}: `}${message}`;
  return `${file}:${line}: ${printable(redactSecrets(text), 1000)}`;
}

/** A place in the configuration as people write it: `peers[0].quota`. */
export function keyText(path: Place): string {
  return path.reduce<string>((text, key) => {
    if (typeof key === 'number') return `${text}[${key}]`;
    return text === '' ? key : `${text}.${key}`;
  }, '');
}
