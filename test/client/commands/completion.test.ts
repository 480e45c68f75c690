import { execFileSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { printCompletion } from '../../../src/client/commands/completion.js';
import { makeLook } from '../../../src/client/render/look.js';
import type { Context } from '../../../src/client/session/context.js';
import { makeProgram } from '../../../src/client/usage/program.js';

async function completionFor(shell: string): Promise<string> {
  let shown = '';
  const screen = {
    result: (_: unknown, text: (look: ReturnType<typeof makeLook>) => string) => {
      shown = text(makeLook(false, false));
    },
  };
  const program = makeProgram(
    '1.2.3',
    () => {},
    () => {},
    async () => {},
  );
  await printCompletion({ screen } as unknown as Context, shell, program);
  return shown;
}

/** What bash offers for a line whose last word is being typed. */
function offered(script: string, words: readonly string[]): string[] {
  const line = words.map((word) => `"${word}"`).join(' ');
  const ask = `${script}\nCOMP_WORDS=(${line}); COMP_CWORD=${words.length - 1}; _anemone_peer; echo "\${COMPREPLY[@]}"`;
  return execFileSync('bash', ['-c', ask], { encoding: 'utf8' }).trim().split(/\s+/);
}

describe('the completion for bash', () => {
  it('offers the commands, then what goes with the one that was typed', async () => {
    const script = await completionFor('bash');
    expect(offered(script, ['anemone-peer', 'st'])).toEqual(['status']);
    expect(offered(script, ['anemone-peer', 'peer', ''])).toEqual(expect.arrayContaining(['add', 'remove', 'list']));
    expect(offered(script, ['anemone-peer', 'peer', 'add', 'FR2', '--q'])).toEqual(['--quota', '--quiet']);
    expect(offered(script, ['anemone-peer', '--json', 'backup', '--fo'])).toEqual(['--force']);
  });

  it('offers the shells that there is a completion for', async () => {
    const script = await completionFor('bash');
    const words = offered(script, ['anemone-peer', 'completion', '']);
    expect(words.slice(0, 3)).toEqual(['bash', 'zsh', 'fish']);
    expect(offered(script, ['anemone-peer', 'completion', 'f'])).toEqual(['fish']);
  });

  it('tells `list` from `peer list`', async () => {
    const script = await completionFor('bash');
    expect(offered(script, ['anemone-peer', 'peer', 'list', '--quo'])).toEqual(['']);
    expect(offered(script, ['anemone-peer', 'peer', 'add', '--quo'])).toEqual(['--quota']);
  });
});

describe('the completion', () => {
  it.each(['zsh', 'fish'])('for %s knows every command and flag', async (shell) => {
    const script = await completionFor(shell);
    for (const word of ['init', 'peer', 'remove', 'backup', 'force', 'timeout']) expect(script).toContain(word);
  });

  it('for another shell is wrong usage', async () => {
    await expect(completionFor('constructor')).rejects.toMatchObject({ kind: 'usage' });
  });
});
