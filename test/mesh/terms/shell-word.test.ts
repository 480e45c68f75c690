import { execFileSync } from 'node:child_process';
import { expect, it } from 'vitest';
import { shellWord } from '../../../src/mesh/terms/shell-word.js';
import { seeded } from '../../faults/random.js';

it('a word for a shell is one word to it, and that very word, whatever is in it', () => {
  const random = seeded(1);
  const parts = [...'aé\'"$`\\\n\t\r *?~!-=#(){},;&|<>%@[]^', '\u{1f600}'];
  const made = Array.from({ length: 500 }, () =>
    Array.from({ length: 1 + random.below(12) }, () => random.pick(parts)).join(''),
  );
  const words = ['', '~', '~root', 'a=b', '-n', '#x', ...made];
  const said = execFileSync('sh', ['-c', `printf '%s\\0' ${words.map(shellWord).join(' ')}`], { encoding: 'utf8' });
  expect(said.split('\0').slice(0, -1)).toEqual(words);
});
