import { type Command, InvalidArgumentError, type Option } from 'commander';
import { Failure } from '../../mesh/terms/failure.js';

const no = ['0', 'false', 'no', 'off'];

/**
 * Gives every flag of every command the value of its variable, `ANEMONE_<FLAG>`; a flag on the command line beats it. An
 * empty variable is none. Words of a flag that takes several are separated by spaces.
 * @throws Failure `usage` that names the variable
 */
export function applyEnvironment(command: Command, env: NodeJS.ProcessEnv): void {
  for (const option of command.options) {
    const variable = variableOf(option);
    const value = env[variable];
    if (value === undefined || value === '' || option.long === '--version') continue;
    command.setOptionValueWithSource(option.attributeName(), readValue(option, value, variable), 'env');
  }
  for (const child of command.commands) applyEnvironment(child, env);
}

export function variableOf(option: Pick<Option, 'name'>): string {
  return `ANEMONE_${option.name().toUpperCase().replaceAll('-', '_')}`;
}

function readValue(option: Option, value: string, variable: string): unknown {
  // `--no-page` sets `page` to false, and so does ANEMONE_NO_PAGE=1.
  if (!option.required && !option.optional) return no.includes(value.toLowerCase()) === option.negate;
  try {
    const read = (word: string): unknown => (option.parseArg === undefined ? word : option.parseArg(word, undefined));
    return option.variadic ? value.split(/\s+/).map(read) : read(value);
  } catch (cause) {
    if (!(cause instanceof InvalidArgumentError)) throw cause;
    throw new Failure('usage', `${variable} is ${JSON.stringify(value)}. ${cause.message}`, { cause });
  }
}
