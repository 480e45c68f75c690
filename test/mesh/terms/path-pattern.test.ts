import { describe, expect, it } from 'vitest';
import { compilePatterns } from '../../../src/mesh/terms/path-pattern.js';

describe('patterns for paths', () => {
  it.each([
    ['*.tmp', 'config/deep/a.tmp', true],
    ['*.tmp', 'config/a.tmp.keep', false],
    ['cache', 'config/cache', true],
    ['cache', 'config/cache/inside', true],
    ['cache', 'config/mycache', false],
    ['/config/cache', 'config/cache', true],
    ['/cache', 'config/cache', false],
    ['config/cache', 'config/cache', true],
    ['config/cache', 'other/config/cache', false],
    ['**/logs/*.log', 'a/b/logs/x.log', true],
    ['logs/**', 'logs/a/b', true],
    ['file?.txt', 'file1.txt', true],
    ['file?.txt', 'file12.txt', false],
    ['*.TMP', 'a.tmp', false],
    ['\\!name', '!name', true],
    ['# a comment', '# a comment', false],
    ['new*line', 'new\nline', true],
  ])('%s on %j: %s', (pattern, name, matches) => {
    expect(compilePatterns([pattern])(name, false)).toBe(matches);
  });

  it('with a slash at the end match folders only', () => {
    const matches = compilePatterns(['build/']);
    expect(matches('config/build', true)).toBe(true);
    expect(matches('config/build', false)).toBe(false);
  });

  it('cannot bring something back with `!`', () => {
    expect(() => compilePatterns(['*.tmp', '!keep.tmp'])).toThrow(
      expect.objectContaining({ kind: 'config', message: expect.stringContaining('!keep.tmp') }),
    );
  });
});
