import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { beforeEach, describe, expect, it } from 'vitest';
import { keysFrom } from '../../../../src/client/restore/opening/keys.js';
import { makePrompts } from '../../../../src/client/session/prompts.js';
import { deriveKeys, formatRecoveryKey, generateRecoveryKey } from '../../../../src/mesh/identity/recovery-key.js';
import { Failure } from '../../../../src/mesh/terms/failure.js';
import { commandTrial } from '../../../support/command.js';
import { temporaryFolder } from '../../../support/temporary-folder.js';

const key = generateRecoveryKey();
const text = formatRecoveryKey(key);
const derived = deriveKeys(key);

let folder: string;
beforeEach(async () => {
  folder = await temporaryFolder();
});

/** A stand-in for the terminal: what is typed, and whether somebody is there to type it. */
function terminal(typed: readonly string[], env: NodeJS.ProcessEnv = {}) {
  const waiting = [...typed];
  const stdin = new PassThrough() as unknown as NodeJS.ReadStream;
  const { said, context } = commandTrial({ cwd: folder, env });
  const { signal } = new AbortController();
  const silent = makePrompts(stdin, new PassThrough() as unknown as NodeJS.WriteStream, signal);
  const prompts =
    typed.length === 0 ? silent : { ...silent, interactive: true, secret: async () => waiting.shift() ?? '' };
  return { context: { ...context, prompts, signal, stdin }, said, stdin };
}

/** The questions of a real terminal, whose keys are what is written to standard input. */
function atTerminal(stdin: NodeJS.ReadStream) {
  const output = Object.assign(new PassThrough(), { isTTY: true }) as unknown as NodeJS.WriteStream;
  return makePrompts(Object.assign(stdin, { isTTY: true }), output, new AbortController().signal);
}

describe('the recovery key', () => {
  it('comes from a file that the environment names', async () => {
    const file = join(folder, 'key');
    await writeFile(file, `${text}\n`, { mode: 0o600 });
    const { context } = terminal([], { ANEMONE_RECOVERY_KEY_FILE: file });
    expect(await keysFrom(context, false).recoveryKey()).toEqual(derived);
  });

  it('comes from a command that the environment names', async () => {
    const { context } = terminal([], { ANEMONE_RECOVERY_KEY_COMMAND: `echo ${text.toLowerCase()}` });
    expect(await keysFrom(context, false).recoveryKey()).toEqual(derived);
  });

  it('comes from standard input with --key-stdin, before anything else', async () => {
    const { context, stdin } = terminal([], { ANEMONE_RECOVERY_KEY_COMMAND: 'echo wrong' });
    (stdin as unknown as PassThrough).end(`${text}\n`);
    expect(await keysFrom(context, true).recoveryKey()).toEqual(derived);
  });

  it('is the first line of standard input, and the next key the next line', async () => {
    const { context, stdin } = terminal([]);
    (stdin as unknown as PassThrough).end(`${text}\nold key\n`);
    const keys = keysFrom(context, true);
    expect([await keys.recoveryKey(), await keys.resticKey()]).toEqual([derived, 'old key']);
  });

  it('may stand on two lines of standard input, and the next key is on the line behind them', async () => {
    const { context, stdin } = terminal([]);
    (stdin as unknown as PassThrough).end(`    ${text.slice(0, 35)}\n    ${text.slice(35)}\nold key\n`);
    const keys = keysFrom(context, true);
    expect([await keys.recoveryKey(), await keys.resticKey()]).toEqual([derived, 'old key']);
  });

  it('that is too short on standard input does not take the next key to itself', async () => {
    const { context, stdin } = terminal([]);
    (stdin as unknown as PassThrough).end(`${text.slice(0, -1)}\nold key\n`);
    await expect(keysFrom(context, true).recoveryKey()).rejects.toThrow('57 characters instead of 58');
  });

  it('may stand on two lines of a file', async () => {
    const file = join(folder, 'key');
    await writeFile(file, `${text.slice(0, 35)}\n    ${text.slice(35)}\n`, { mode: 0o600 });
    const { context } = terminal([], { ANEMONE_RECOVERY_KEY_FILE: file });
    expect(await keysFrom(context, false).recoveryKey()).toEqual(derived);
  });

  it.each([
    ['two lines', `${text.slice(0, 35)}\r    ${text.slice(35)}\r`],
    ['two lines, of which the last has no end', `${text.slice(0, 35)}\r${text.slice(35)}`],
    ['one line, with an empty one behind it', `${text}\r\r`],
  ])('is read as it is pasted: %s', async (_, pasted) => {
    const { context, stdin } = terminal([]);
    const prompts = atTerminal(stdin);
    const reading = keysFrom({ ...context, prompts }, false).recoveryKey();
    (stdin as unknown as PassThrough).write(pasted);
    expect(await reading).toEqual(derived);
  });

  it('that is typed up to the hyphen at the end of a line is asked for the rest', async () => {
    const { context, said } = terminal([`${text.slice(0, 35)} `, text.slice(35)]);
    expect(await keysFrom(context, false).recoveryKey()).toEqual(derived);
    expect(said.stderr).toBe('');
  });

  it('that is pasted in pieces is asked for the rest', async () => {
    const { context, said } = terminal([`${text.slice(0, 35)}\n    ${text.slice(35, 50)}`, text.slice(50)]);
    expect(await keysFrom(context, false).recoveryKey()).toEqual(derived);
    expect(said.stderr).toBe('');
  });

  it('is asked for again when a group before its hyphen cannot be right', async () => {
    const { context, said } = terminal(['UUUUUU-', text]);
    expect(await keysFrom(context, false).recoveryKey()).toEqual(derived);
    expect(said.stderr).toContain('6 characters instead of 58');
  });

  it('is asked for three times at most', async () => {
    const { context } = terminal(['one', 'two', 'three', text]);
    await expect(keysFrom(context, false).recoveryKey()).rejects.toMatchObject({ kind: 'wrong-key' });
  });

  it('is asked for again when a person mistypes it, and what was typed is not shown', async () => {
    const mistyped = `${text.slice(0, -1)}${text.endsWith('0') ? '4' : '0'}`;
    const { context, said } = terminal(['short', mistyped, text]);
    expect(await keysFrom(context, false).recoveryKey()).toEqual(derived);
    expect(said.stderr).toContain('5 characters instead of 58');
    expect(said.stderr).toContain('checksum');
    expect(said.stderr).not.toContain(text.slice(0, 6));
  });

  it('that is wrong in a file is a failure at once, and is not in its message', async () => {
    const { context } = terminal([], { ANEMONE_RECOVERY_KEY_COMMAND: 'echo hunter2' });
    const failure = await keysFrom(context, false)
      .recoveryKey()
      .catch((thrown: unknown) => thrown);
    expect(failure).toBeInstanceOf(Failure);
    expect(failure).toMatchObject({ kind: 'wrong-key' });
    expect(String(failure)).not.toContain('hunter2');
  });

  it('that nobody can be asked for is wrong usage, with the ways to give it', async () => {
    const { context } = terminal([]);
    await expect(keysFrom(context, false).recoveryKey()).rejects.toMatchObject({
      kind: 'usage',
      hint: expect.stringMatching(/--key-stdin.*ANEMONE_RECOVERY_KEY_FILE.*ANEMONE_RECOVERY_KEY_COMMAND/),
    });
  });
});

describe('another key', () => {
  it('that is pasted has one line: what comes behind it is no part of it', async () => {
    const { context, stdin } = terminal([]);
    const reading = keysFrom({ ...context, prompts: atTerminal(stdin) }, false).resticKey();
    (stdin as unknown as PassThrough).write('old key\rls\r');
    expect(await reading).toBe('old key');
  });
});
