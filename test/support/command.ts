import { Readable } from 'node:stream';
import { makeScreen } from '../../src/client/render/screen.js';
import { type Context, makeContext } from '../../src/client/session/context.js';
import type { Prompts } from '../../src/client/session/prompts.js';
import { type Clock, systemClock } from '../../src/mesh/terms/clock.js';
import { Failure } from '../../src/mesh/terms/failure.js';
import { keptOutput } from './kept-output.js';

export interface CommandOptions {
  readonly cwd: string;
  readonly env?: NodeJS.ProcessEnv;
  readonly json?: boolean;
  readonly quiet?: boolean;
  readonly config?: string;
  readonly timeout?: number;
  readonly stdin?: string;
  /** What the person at the terminal types, one answer after the other; without it nobody is there. */
  readonly answers?: readonly (string | boolean)[];
  readonly signal?: AbortSignal;
  /** Instead of the machine's. */
  readonly clock?: Clock;
  /** Called before each answer. */
  readonly onQuestion?: (question: string) => void;
}

/** A context for one command, and what the command said. */
export interface CommandTrial {
  readonly context: Context;
  readonly said: { stdout: string; stderr: string };
  /** The questions that were asked, in order. */
  readonly questions: string[];
}

export function commandTrial(options: CommandOptions): CommandTrial {
  const { said, out, err } = keptOutput({ columns: 120 });
  const questions: string[] = [];
  const { json = false, quiet = false, clock = systemClock } = options;
  const screen = makeScreen({ out, err, clock, json, quiet, verbose: false, colour: false });
  const context = makeContext({
    screen,
    prompts: typing(options, questions),
    clock,
    env: options.env ?? {},
    cwd: options.cwd,
    signal: options.signal ?? new AbortController().signal,
    flags: {
      quiet,
      verbose: false,
      json,
      ...(options.config === undefined ? {} : { config: options.config }),
      ...(options.timeout === undefined ? {} : { timeout: options.timeout }),
    },
    version: '0.0.0',
    stdin: Readable.from([options.stdin ?? '']) as unknown as NodeJS.ReadStream,
  });
  return { context, said, questions };
}

function typing({ answers, onQuestion }: CommandOptions, questions: string[]): Prompts {
  const left = [...(answers ?? [])];
  const next = async (question: string, instead: string): Promise<string | boolean> => {
    if (answers === undefined) throw new Failure('usage', `nobody can be asked here: ${question}`, { hint: instead });
    questions.push(question);
    onQuestion?.(question);
    const answer = left.shift();
    if (answer === undefined) throw new Failure('interrupted', `the test has no answer to ${question}`);
    return answer;
  };
  return {
    interactive: answers !== undefined,
    text: async (question, instead) => String(await next(question, instead)),
    secret: async (question, instead) => String(await next(question, instead)),
    confirm: async (question, instead) => Boolean(await next(question, instead)),
  };
}
