import { execFileSync } from 'node:child_process';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { logFileName, openLog } from '../../../src/node/log/log.js';
import { FakeClock } from '../../support/fake-clock.js';
import { temporaryFolder } from '../../support/temporary-folder.js';

/** Needs root: a file system of 64 KiB is mounted. */
let folder: string;
beforeEach(async () => {
  folder = await temporaryFolder();
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', folder]);
});
afterEach(() => {
  execFileSync('umount', [folder]);
});

describe('a log on a full disk', () => {
  it('goes on to standard error, says so once, and returns to the file when there is room', async () => {
    let shown = '';
    const stderr = new Writable({
      write(chunk, _, callback) {
        shown += String(chunk);
        callback();
      },
    });
    const until = async (text: string): Promise<void> => {
      while (!shown.includes(text)) await new Promise((resolve) => setImmediate(resolve));
    };
    const clock = new FakeClock();
    const filler = join(folder, 'filler');
    writeFileSync(filler, Buffer.alloc(56 * 1024));
    const log = openLog({ folder, stderr, terminal: false, level: 'info', clock });
    for (let number = 0; number < 50; number += 1) log.info('filling', { text: 'x'.repeat(500) });
    await until('ENOSPC');
    await clock.advance(61_000);
    log.info('still full');
    await new Promise((resolve) => setImmediate(resolve));

    rmSync(filler);
    await clock.advance(61_000);
    log.info('there is room');
    await until('log file works again');
    await log.close();
    expect(readFileSync(join(folder, logFileName), 'utf8')).toContain('there is room');
    expect(shown.match(/log file failed/g)).toHaveLength(1);
    expect(shown.match(/"event":"filling"/g)).toHaveLength(50);
  });
});
