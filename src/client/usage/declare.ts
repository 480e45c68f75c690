import type { Command } from 'commander';
import type { Context, ExitCode } from '../session/context.js';

/**
 * Runs the body of a command, which imports its implementation only then: `--help` stays fast, whatever a command needs.
 */
export type Run = (body: (context: Context) => Promise<ExitCode>) => Promise<void>;

/**
 * Declares a command: its line (`list [host]`), one sentence, and examples, which are all the manual there is.
 * @param examples each a command line, and what it does
 */
export function declare(
  parent: Command,
  line: string,
  summary: string,
  examples: readonly (readonly [command: string, meaning: string])[] = [],
): Command {
  const command = parent.command(line).description(summary);
  if (examples.length > 0) {
    const shown = examples.map(([example, meaning]) => `  ${example}\n      ${meaning}`);
    command.addHelpText('after', `\nExamples:\n${shown.join('\n')}`);
  }
  return command;
}
