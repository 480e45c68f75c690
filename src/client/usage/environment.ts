import { type Command, InvalidArgumentError, type Option } from 'commander';
import { Failure } from '../../mesh/terms/failure.js';

const no = ['0', 'false', 'no', 'off'];
const yes = ['1', 'true', 'yes', 'on'];

/**
 * Gives every flag of every command the value of its variable, `ANEMONE_<FLAG>`; a flag on the command line beats it. An
 * empty variable is none.
 * @throws Failure `usage` that names the variable
 */
export function applyEnvironment(command: Command, env: NodeJS.ProcessEnv): void {
  for (const option of command.options) {
    const variable = variableOf(option);
    const value = env[variable];
    if (value === undefined || value === '' || option.long === '--version') continue;
    const given = readValue(option, value, variable);
    if (given === undefined) continue;
    command.setOptionValueWithSource(option.attributeName(), given, 'env');
    const { parseArg } = option;
    // What can be given again would be added to the variable, which it is to beat.
    if (parseArg) option.argParser((word, before: unknown) => parseArg(word, before === given ? undefined : before));
  }
  for (const child of command.commands) applyEnvironment(child, env);
}

function variableOf(option: Pick<Option, 'name'>): string {
  return `ANEMONE_${option.name().toUpperCase().replaceAll('-', '_')}`;
}

/** @returns undefined when the variable says nothing: what ANEMONE_NO_PAGE=0 does not forbid is still to be chosen */
function readValue(option: Option, value: string, variable: string): unknown {
  if (!option.required && !option.optional) {
    const on = yes.includes(value.toLowerCase());
    if (!on && !no.includes(value.toLowerCase())) {
      throw new Failure('usage', `${variable} is ${JSON.stringify(value)}. It is yes or no, or 1 or 0.`);
    }
    // `--no-page` sets `page` to false, and so does ANEMONE_NO_PAGE=1.
    if (option.negate) return on ? false : undefined;
    return on;
  }
  try {
    return option.parseArg === undefined ? value : option.parseArg(value, undefined);
  } catch (cause) {
    if (!(cause instanceof InvalidArgumentError)) throw cause;
    throw new Failure('usage', `${variable} is ${JSON.stringify(value)}. ${cause.message}`, { cause });
  }
}
