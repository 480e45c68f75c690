import ignore from 'ignore';
import { checkPattern } from './check-pattern.js';

/** Whether a member of an archive (without leading or trailing slash) is meant, by itself or with a folder above it. */
export type PathMatcher = (name: string, isFolder: boolean) => boolean;

/**
 * Patterns in the manner of .gitignore, over the names that members have in the archive: a bare name matches at any
 * depth, a slash at the start or in the middle anchors, a slash at the end means folders only.
 * @throws Failure `config` for a pattern with `!`: what a folder takes with it cannot be brought back
 */
export function compilePatterns(patterns: readonly string[]): PathMatcher {
  for (const pattern of patterns) checkPattern(pattern);
  const rules = ignore({ ignoreCase: false }).add(patterns.map((pattern) => ({ pattern })));
  return (name, isFolder) => rules.ignores(isFolder ? `${name}/` : name);
}

/** The pattern that fits this member, and what lies in it, alone. */
export function patternFor(name: string): string {
  return `/${name.replace(/[\\*?[\]]/g, '\\$&').replace(/ $/, '\\ ')}`;
}
