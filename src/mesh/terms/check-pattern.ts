import { Failure } from './failure.js';

/** @throws Failure `config` for a pattern with `!`: what a folder takes with it cannot be brought back */
export function checkPattern(pattern: string): void {
  if (!pattern.startsWith('!')) return;
  throw new Failure('config', `the pattern ${JSON.stringify(pattern)} starts with \`!\`, which is not supported`, {
    hint: 'Name what is meant. For a name that really starts with an exclamation mark, write \\!name.',
  });
}
