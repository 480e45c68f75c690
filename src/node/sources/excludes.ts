import ignore from 'ignore';
import { Failure } from '../../mesh/terms/failure.js';

/**
 * Patterns in the manner of .gitignore, over the names that members have in the archive: a bare name matches at any
 * depth, a slash at the start or in the middle anchors, a slash at the end means folders only.
 * @returns whether a member (without leading or trailing slash) is left out, by itself or with a folder above it
 * @throws Failure `config` for a pattern with `!`: what a folder left out cannot be brought back
 */
export function compileExcludes(patterns: readonly string[]): (name: string, isFolder: boolean) => boolean {
  const negative = patterns.find((pattern) => pattern.startsWith('!'));
  if (negative !== undefined) {
    throw new Failure('config', `exclude: ${JSON.stringify(negative)} starts with \`!\`, which is not supported`, {
      hint: 'Name what to leave out. For a name that really starts with an exclamation mark, write \\!name.',
    });
  }
  const rules = ignore({ ignoreCase: false }).add(patterns.map((pattern) => ({ pattern })));
  return (name, isFolder) => rules.ignores(isFolder ? `${name}/` : name);
}
