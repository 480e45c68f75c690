import { describe, expect, it } from 'vitest';
import { compileExcludes } from '../../../src/node/sources/excludes.js';

describe('exclude patterns', () => {
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
  ])('%s on %j: %s', (pattern, name, excluded) => {
    expect(compileExcludes([pattern])(name, false)).toBe(excluded);
  });

  it('with a slash at the end match folders only', () => {
    const excluded = compileExcludes(['build/']);
    expect(excluded('config/build', true)).toBe(true);
    expect(excluded('config/build', false)).toBe(false);
  });

  it('cannot bring something back with `!`', () => {
    expect(() => compileExcludes(['*.tmp', '!keep.tmp'])).toThrow(
      expect.objectContaining({ kind: 'config', message: expect.stringContaining('!keep.tmp') }),
    );
  });
});
