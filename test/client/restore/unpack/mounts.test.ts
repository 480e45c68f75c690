import { describe, expect, it } from 'vitest';
import { parseMounts } from '../../../../src/client/restore/unpack/mounts.js';

const mounts = parseMounts(
  [
    '22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw',
    '40 22 8:2 /vol /config rw - ext4 /dev/sdb1 rw',
    '41 22 8:2 /other /srv/my\\040data rw - ext4 /dev/sdb1 rw',
    '',
  ].join('\n'),
);

describe('mounts', () => {
  it.each([
    ['/', '/'],
    ['/etc/passwd', '/'],
    ['/config', '/config'],
    ['/config/a/b', '/config'],
    ['/configuration', '/'],
    ['/srv/my data/x', '/srv/my data'],
  ])('%s lies in %s', (path, point) => {
    expect(mounts.of(path)).toBe(point);
  });

  it('are recognised themselves, and below a folder', () => {
    expect(mounts.isMountPoint('/config')).toBe(true);
    expect(mounts.isMountPoint('/config/a')).toBe(false);
    expect(mounts.below('/srv')).toBe('/srv/my data');
    expect(mounts.below('/config')).toBeUndefined();
    expect(mounts.below('/')).toBe('/config');
  });
});
