import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { openTimes } from '../../../src/node/audit/times.js';
import { temporaryFolder } from '../../support/temporary-folder.js';

let folder: string;
let file: string;
beforeEach(async () => {
  folder = await temporaryFolder();
  file = join(folder, 'scrub.json');
});

describe('the times at which things were last found right', () => {
  it('are there for the next process, but for those that are not to be kept', async () => {
    const times = await openTimes(file);
    times.set('a', 1_795_000_000_000);
    times.set('b', 2);
    expect(await times.save((key) => key === 'a')).toBeNull();
    const next = await openTimes(file);
    expect([next.get('a'), next.get('b')]).toEqual([1_795_000_000_000, undefined]);
  });

  it('are forgotten where they are none: nobody could be told of them', async () => {
    await writeFile(file, '{"a": 1, "b": 1.5, "c": 1e300, "d": -1, "e": 9e15, "f": "1", "g": null}');
    const times = await openTimes(file);
    expect([...'abcdefg'].map((key) => times.get(key) ?? '-').join(' ')).toBe('1 - - - - - -');
  });
});
