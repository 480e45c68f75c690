import { chmodSync, chownSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { beforeEach, describe, expect, it } from 'vitest';
import {
  readSecretCommand,
  readSecretFile,
  readSecretFromEnvironment,
  readSecretStream,
} from '../../../src/mesh/config/secrets.js';
import { temporaryFolder } from '../../support/temporary-folder.js';

let folder: string;
let file: string;
let warnings: string[];
const warn = (message: string): void => void warnings.push(message);
beforeEach(async () => {
  folder = await temporaryFolder();
  file = join(folder, 'my key');
  warnings = [];
});

function put(content: string, mode = 0o600): void {
  writeFileSync(file, content);
  chmodSync(file, mode);
}

describe('a secret', () => {
  it.each(['swordfish', 'swordfish\n', 'swordfish\r\n'])(
    'is read from a file without the newline: %j',
    async (content) => {
      put(content);
      expect(await readSecretFile(file, warn)).toBe('swordfish');
      expect(warnings).toEqual([]);
    },
  );

  it('keeps the spaces and inner newlines that belong to it', async () => {
    put(' sword\nfish \n\n');
    expect(await readSecretFile(file, warn)).toBe(' sword\nfish \n');
  });

  it.each([0o640, 0o604])('is read with a warning from a file that others can read: %o', async (mode) => {
    put('swordfish', mode);
    expect(await readSecretFile(file, warn)).toBe('swordfish');
    expect(warnings).toEqual([`${file} can be read by others than its owner: run \`chmod 600 '${file}'\``]);
  });

  it.skipIf(process.geteuid?.() !== 0).each([
    [0o640, 0],
    [0o660, 1],
    [0o644, 1],
  ])(
    'of another user, who lets this one read it by its group alone, is no reason to warn: %o',
    async (mode, expected) => {
      put('swordfish', mode);
      chownSync(file, 12_345, 0);
      expect(await readSecretFile(file, warn)).toBe('swordfish');
      expect(warnings).toHaveLength(expected);
    },
  );

  it.each([
    ['missing', undefined, /cannot be read: ENOENT/],
    ['empty', '\n', /is empty/],
    ['too long', 'swordfish'.repeat(10_000), /more than 65536 bytes/],
  ])('that is %s is an error that does not show it', async (_, content, message) => {
    if (content !== undefined) put(content);
    const failure = await readSecretFile(file, warn).catch((thrown: Error) => thrown);
    expect(failure).toMatchObject({ kind: 'config', message: expect.stringMatching(message) });
    expect(String(failure)).not.toContain('swordfish');
  });

  it('is read from a command of a shell', async () => {
    expect(await readSecretCommand('printf sword && echo fish')).toBe('swordfish');
  });

  it.each([
    ['fails', 'echo swordfish; exit 3', /ended with exit code 3/],
    ['is killed', 'echo swordfish; kill -9 $$', /ended with SIGKILL/],
    ['says nothing', 'true', /is empty/],
    ['does not end', 'yes swordfish 2>/dev/null', /more than 65536 bytes/],
  ])('from a command that %s is an error that does not show it', async (_, command, message) => {
    const failure = await readSecretCommand(command).catch((thrown: Error) => thrown);
    expect(failure).toMatchObject({ kind: 'config', message: expect.stringMatching(message) });
    expect(String(failure)).not.toContain('swordfish');
  });

  it('is no longer waited for when the caller gives up', async () => {
    const controller = new AbortController();
    const waiting = readSecretCommand('exec sleep 60', controller.signal);
    controller.abort();
    await expect(waiting).rejects.toMatchObject({ kind: 'interrupted' });
  });

  it('is read from a stream up to its end', async () => {
    expect(await readSecretStream(Readable.from([Buffer.from('sword'), Buffer.from('fish\n')]), 'stdin')).toBe(
      'swordfish',
    );
    await expect(readSecretStream(Readable.from([]), 'standard input')).rejects.toThrow(
      'standard input gives no secret',
    );
  });

  it('is found where the environment says, and only there', async () => {
    put('swordfish');
    const find = (env: NodeJS.ProcessEnv) => readSecretFromEnvironment('ANEMONE_RECOVERY_KEY', env, warn);
    expect(await find({})).toBeUndefined();
    expect(await find({ ANEMONE_RECOVERY_KEY_FILE: file })).toBe('swordfish');
    expect(await find({ ANEMONE_RECOVERY_KEY_COMMAND: 'echo trout' })).toBe('trout');
    await expect(
      find({ ANEMONE_RECOVERY_KEY_FILE: file, ANEMONE_RECOVERY_KEY_COMMAND: 'echo trout' }),
    ).rejects.toMatchObject({ kind: 'usage' });
  });
});
