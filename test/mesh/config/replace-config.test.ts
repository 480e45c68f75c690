import { readdirSync, readFileSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { replaceConfig } from '../../../src/mesh/config/replace-config.js';
import { temporaryFolder } from '../../support/temporary-folder.js';

let folder: string;
let file: string;
beforeEach(async () => {
  folder = await temporaryFolder();
  file = join(folder, 'config.yaml');
  writeFileSync(file, 'before');
});

describe('replacing a configuration', () => {
  it('can be tried again when somebody else changed the file, and leaves that change', async () => {
    await expect(replaceConfig(file, Buffer.from('long before'), 'after')).rejects.toMatchObject({
      kind: 'failed',
      retryable: true,
      message: expect.stringContaining('changed by someone else'),
    });
    expect(readFileSync(file, 'utf8')).toBe('before');
    expect(readdirSync(folder)).toEqual(['config.yaml']);
  });

  it('keeps a byte order mark', async () => {
    writeFileSync(file, '\uFEFFbefore');
    await replaceConfig(file, readFileSync(file), 'after');
    expect(readFileSync(file, 'utf8')).toBe('\uFEFFafter');
  });

  it('removes what a killed process left, and not what another one writes now', async () => {
    const [left, written, other] = [
      '.config.yaml.0123456789ab.tmp',
      '.config.yaml.ba9876543210.tmp',
      '.config.yaml.tmp',
    ];
    for (const name of [left, written, other]) writeFileSync(join(folder, name), '');
    for (const name of [left, other]) utimesSync(join(folder, name), 0, 0);
    await replaceConfig(file, Buffer.from('before'), 'after');
    expect(readdirSync(folder).sort()).toEqual([written, other, 'config.yaml'].sort());
  });
});
