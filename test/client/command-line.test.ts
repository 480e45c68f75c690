import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { commandLine } from '../support/command-line.js';
import { temporaryFolder } from '../support/temporary-folder.js';

let cwd: string;
beforeEach(async () => {
  cwd = await temporaryFolder();
});

const run = (...args: string[]) => commandLine(args, { cwd });

describe('wrong usage', () => {
  it.each([
    [['statsu'], "unknown command 'statsu'", 'Did you mean status?'],
    [['status', '--jsn'], "unknown option '--jsn'", 'Did you mean --json?'],
    [['push'], "missing required argument 'file'", 'anemone-peer --help'],
    [['peer', 'add', 'FR2', '--vpn-ip', '10.8.0.2'], "required option '--identity <key>'", 'anemone-peer --help'],
    [['status', '--timeout', 'soon'], "'soon' is invalid", 'anemone-peer --help'],
    [['status', 'now'], 'too many arguments', 'anemone-peer --help'],
  ])('%j says what is wrong and what was probably meant', async (args, what, hint) => {
    const { code, stdout, stderr } = await run(...args);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toContain(what);
    expect(stderr).toContain(hint);
  });

  it('is one JSON document on standard output with --json, wherever that flag stands', async () => {
    for (const args of [
      ['--json', 'statsu'],
      ['statsu', '--json'],
    ]) {
      const { code, stdout } = await run(...args);
      expect(code).toBe(2);
      expect(JSON.parse(stdout)).toEqual({
        error: { kind: 'usage', message: "unknown command 'statsu'", hint: 'Did you mean status?' },
      });
    }
  });
});

describe('a command that is missing', () => {
  it.each([[[]], [['peer']], [['config']]])('after %j is one JSON document too, beside the help', async (args) => {
    const { code, stdout, stderr } = await run(...args, '--json');
    expect(code).toBe(2);
    expect(JSON.parse(stdout)).toEqual({
      error: { kind: 'usage', message: 'a command is missing', hint: 'See `anemone-peer --help`.' },
    });
    expect(stderr).toContain('Usage:');
  });
});

describe('the configuration file', () => {
  it('that is nowhere to be found is told with every place that was looked at, and exit code 2', async () => {
    const { code, stderr } = await run('identity');
    expect(code).toBe(2);
    expect(stderr).toContain(join(cwd, 'config/config.yaml'));
    expect(stderr).toContain('For a new server, run `anemone-peer init`');
    // Which refuses where there is an identity.
    expect(stderr).toContain('restore latest --kit FILE --include config/config.yaml');
  });

  it('is the one of the flag, before the one of the environment', async () => {
    const env = { ANEMONE_CONFIG: 'from-environment.yaml' };
    const fromFlag = await commandLine(['identity', '--config', 'from-flag.yaml'], { cwd, env });
    expect(fromFlag.stderr).toContain(join(cwd, 'from-flag.yaml'));
    const fromEnvironment = await commandLine(['identity'], { cwd, env });
    expect(fromEnvironment.stderr).toContain(join(cwd, 'from-environment.yaml'));
  });
});

describe('the environment', () => {
  it('gives every flag its value, and 0 or nothing switches one off', async () => {
    const asJson = await commandLine(['identity'], { cwd, env: { ANEMONE_JSON: '1' } });
    expect(JSON.parse(asJson.stdout).error.kind).toBe('config');
    for (const off of ['0', 'false', '']) {
      const asText = await commandLine(['identity'], { cwd, env: { ANEMONE_JSON: off } });
      expect(asText.stdout).toBe('');
    }
  });

  it('that makes no sense is wrong usage, and is named', async () => {
    const { code, stderr } = await commandLine(['status'], { cwd, env: { ANEMONE_TIMEOUT: 'soon' } });
    expect(code).toBe(2);
    expect(stderr).toContain('ANEMONE_TIMEOUT');
  });
});
