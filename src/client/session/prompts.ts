import { Failure } from '../../mesh/terms/failure.js';

/**
 * Questions to the person at the terminal. They are written to standard error, so that results stay clean. Where standard
 * input is no terminal, a question is a Failure `usage` that says what to give instead.
 */
export interface Prompts {
  /** Whether a person can answer. */
  readonly interactive: boolean;
  /** @param instead what a script gives instead, as one sentence */
  text(question: string, instead: string): Promise<string>;
  /** A text that is not shown while it is typed; of more than one line where the others were pasted right behind the first. */
  secret(question: string, instead: string): Promise<string>;
  /** Yes or no; the answer of an empty line is no. */
  confirm(question: string, instead: string): Promise<boolean>;
}

/** What Ctrl-C and an aborted signal are called by the library, which exports no classes for them. */
const stops = ['ExitPromptError', 'AbortPromptError'];

export function makePrompts(input: NodeJS.ReadStream, output: NodeJS.WriteStream, signal: AbortSignal): Prompts {
  const interactive = input.isTTY === true && output.isTTY === true;
  const terminal = { input, output, signal };
  type Inquirer = typeof import('@inquirer/prompts');
  const ask = async <T>(question: string, instead: string, put: (by: Inquirer) => Promise<T>): Promise<T> => {
    if (!interactive) {
      throw new Failure('usage', `nobody can be asked here: ${question.replace(/[?:]$/, '')}`, { hint: instead });
    }
    try {
      return await put(await import('@inquirer/prompts'));
    } catch (thrown) {
      const stopped = thrown instanceof Error && stops.includes(thrown.name);
      throw stopped ? new Failure('interrupted', 'interrupted', { cause: thrown }) : Failure.from(thrown);
    }
  };
  return {
    interactive,
    text: (message, instead) => ask(message, instead, (by) => by.input({ message }, terminal)),
    secret: (message, instead) =>
      ask(message, instead, (by) => withLinesBehind(input, () => by.password({ message, mask: false }, terminal))),
    confirm: (message, instead) => ask(message, instead, (by) => by.confirm({ message, default: false }, terminal)),
  };
}

/** The library takes one line, and drops what comes behind it in the same moment: the other lines of a paste. */
async function withLinesBehind(input: NodeJS.ReadStream, answering: () => Promise<string>): Promise<string> {
  let typed = '';
  const hear = (chunk: Buffer | string): void => {
    typed += String(chunk);
  };
  input.on('data', hear);
  try {
    const answer = await answering();
    const [, ...behind] = typed.split(/\r\n|\r|\n/);
    return [answer, ...behind].join('\n').replace(/\n+$/, '');
  } finally {
    input.off('data', hear);
  }
}
