import type { Command } from 'commander';
import { describe, expect, it } from 'vitest';
import { applyEnvironment } from '../../../src/client/usage/environment.js';
import { makeProgram } from '../../../src/client/usage/program.js';

function parse(args: readonly string[], env: NodeJS.ProcessEnv = {}): { program: Command; shown: string } {
  let shown = '';
  const write = (text: string): void => {
    shown += text;
  };
  const program = makeProgram('1.2.3', write, write, async () => {});
  applyEnvironment(program, env);
  try {
    program.parse(args, { from: 'user' });
  } catch {
    // Help that was shown ends in an error of the parser.
  }
  return { program, shown };
}

function everyCommand(command: Command, path: readonly string[] = []): { command: Command; path: readonly string[] }[] {
  return command.commands.flatMap((child) => {
    const here = [...path, child.name()];
    return [{ command: child, path: here }, ...everyCommand(child, here)];
  });
}

const commands = everyCommand(parse([]).program);

describe('the tree of commands', () => {
  it.each(commands.map(({ path }) => path.join(' ')))(
    'has a help for `%s` with one sentence and the common flags',
    (path) => {
      const { shown } = parse([...path.split(' '), '--help']);
      expect(shown).toMatch(/^Usage: anemone-peer .*\n\n\S.{10,}/);
      expect(shown).toContain('--json');
      expect(shown).toContain('--timeout <seconds>');
    },
  );

  it.each(commands.filter(({ command }) => command.commands.length === 0).map(({ path }) => path.join(' ')))(
    'has an example for `%s`',
    (path) => {
      expect(parse([...path.split(' '), '--help']).shown).toMatch(/\nExamples:\n {2}.*anemone-peer /);
    },
  );

  it('uses no flag for two kinds of value, which one variable of the environment would set, but one: who is asked, by name or address', () => {
    const takes = new Map<string, Set<string>>();
    for (const { options } of [parse([]).program, ...commands.map(({ command }) => command)]) {
      for (const { long, flags } of options) {
        const kind = flags.match(/[<[].*$/)?.[0] ?? 'yes or no';
        takes.set(String(long), new Set([...(takes.get(String(long)) ?? []), kind]));
      }
    }
    const several = [...takes].filter(([, kinds]) => kinds.size > 1).map(([flag, kinds]) => [flag, ...kinds]);
    expect(several).toEqual([['--peer', '<name>', '<addr[:port][#identity]>']]);
  });

  it('lets no command give a common flag another meaning', () => {
    const common = parse([]).program.options.map((option) => option.long);
    for (const { command } of commands) {
      for (const option of command.options) expect(common).not.toContain(option.long);
    }
  });
});

describe('the environment', () => {
  const flagsOf = (args: readonly string[], env: NodeJS.ProcessEnv) => {
    const { program } = parse(args, env);
    const asked = program.commands.find((command) => command.name() === args.find((word) => /^[a-z]/.test(word)));
    return asked?.optsWithGlobals();
  };

  it('gives a flag its value, and the command line beats it', () => {
    const env = { ANEMONE_SET: 'db', ANEMONE_FORCE: '1', ANEMONE_TIMEOUT: '7' };
    expect(flagsOf(['backup'], env)).toMatchObject({ set: 'db', force: true, timeout: 7 });
    expect(flagsOf(['backup', '--set', 'mail'], env)).toMatchObject({ set: 'mail' });
    expect(flagsOf(['--timeout', '9', 'backup'], env)).toMatchObject({ timeout: 9 });
  });

  it('is beaten as a whole by a flag that can be given again', () => {
    const env = { ANEMONE_PEER: '10.8.0.2 10.8.0.3', ANEMONE_INCLUDE: 'a', ANEMONE_EXCLUDE: 'b' };
    expect(flagsOf(['restore'], env)).toMatchObject({ peer: ['10.8.0.2', '10.8.0.3'], include: ['a'], exclude: ['b'] });
    const given = ['restore', '--peer', '10.8.0.4', '--peer', '10.8.0.5', '--include', 'c', '--exclude', 'd'];
    expect(flagsOf(given, env)).toMatchObject({ peer: ['10.8.0.4', '10.8.0.5'], include: ['c'], exclude: ['d'] });
  });

  it('says nothing with a no to a flag that says no', () => {
    expect(flagsOf(['init'], { ANEMONE_NO_PAGE: '0' })).not.toHaveProperty('page');
    expect(flagsOf(['init'], { ANEMONE_NO_PAGE: 'off', ANEMONE_PAGE: 'page.html' })).toMatchObject({
      page: 'page.html',
    });
    expect(flagsOf(['init'], { ANEMONE_NO_PAGE: 'yes' })).toMatchObject({ page: false });
    expect(flagsOf(['restore'], { ANEMONE_NO_TAKEOVER: '0' })).toMatchObject({ takeover: true });
    expect(flagsOf(['restore'], { ANEMONE_NO_TAKEOVER: '1' })).toMatchObject({ takeover: false });
  });

  it('switches a flag off with 0, false, no or off, and an empty variable is none', () => {
    for (const no of ['0', 'false', 'No', 'off']) {
      expect(flagsOf(['backup'], { ANEMONE_FORCE: no })).toMatchObject({ force: false });
    }
    expect(flagsOf(['backup'], { ANEMONE_FORCE: '', ANEMONE_TIMEOUT: '' })).toEqual({});
  });

  it('that makes no sense is refused, and named', () => {
    expect(() => parse(['backup'], { ANEMONE_TIMEOUT: 'soon' })).toThrow(/ANEMONE_TIMEOUT.*number of seconds/);
    expect(() => parse(['backup'], { ANEMONE_JSON: 'maybe' })).toThrow(/ANEMONE_JSON is "maybe".*yes or no/);
  });
});
